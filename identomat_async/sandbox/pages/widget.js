"use strict";

// A page that embeds this one learns that it has come to its end, and nothing else.
if (document.body.dataset.done && window.parent !== window) {
  window.parent.postMessage("DONE", "*");
}

document.getElementById("errors")?.focus();

// Browsers know mandatory choices of one, but none of several.
for (const group of document.querySelectorAll("[data-some]")) {
  const boxes = [...group.querySelectorAll("input")];
  const check = () => {
    const some = boxes.some((box) => box.checked);
    boxes[0].setCustomValidity(some ? "" : "Please choose at least one.");
  };
  group.addEventListener("change", check);
  check();
}
