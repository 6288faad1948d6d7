"use strict";

const find = (id) => document.getElementById(id);
const rows = new Map();
let told = 0;

const WORDS = {
  approved: "Approved",
  rejected: "Rejected",
  manual_check: "Manual check",
  in_progress: "In progress",
  disagreed: "Refused the terms",
  deleted: "Deleted",
  invalid: "Invalid",
};
const OVER = new Set(["approved", "rejected", "disagreed", "disagreed_with_terms", "deleted", "invalid"]);
const worded = (status) => WORDS[status.toLowerCase()] ?? status;
const short = (token) => (token.length > 12 ? `${token.slice(0, 8)}…` : token);

function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function rowOf(token) {
  const known = rows.get(token);
  if (known) return known;
  const element = find("row").content.firstElementChild.cloneNode(true);
  const link = element.querySelector(".token");
  link.href = `/?session_token=${encodeURIComponent(token)}`;
  link.textContent = short(token);
  link.title = token;
  for (const button of element.querySelectorAll("button")) {
    button.setAttribute("aria-label", `${button.textContent}: session ${short(token)}`);
    button.addEventListener("click", () => act(token, button.dataset.verdict));
  }
  const row = { element, said: null };
  rows.set(token, row);
  return row;
}

function show(row) {
  const { element, said } = row;
  const passed = (performance.now() - told) / 1000;
  const pill = element.querySelector(".pill");
  pill.dataset.status = said.status.toLowerCase();
  say(pill, worded(said.status));
  const next = said.next ? `${worded(said.next[0])} in ${span(said.next[1] - passed + 1)}` : "";
  say(element.querySelector(".next"), next);
  say(element.querySelector(".age"), span(said.age + passed));
  say(element.querySelector(".polls"), String(said.polls));
  say(element.querySelector(".polled"), said.polled === null ? "never" : `${span(said.polled + passed)} ago`);
  const over = OVER.has(said.status.toLowerCase());
  for (const button of element.querySelectorAll("button")) button.disabled = over;
}

function tell(event) {
  const said = JSON.parse(event.data);
  told = performance.now();
  const body = find("rows");
  const shown = new Set(said.rows.map((row) => row.token));
  for (const [token, row] of rows) {
    if (!shown.has(token)) {
      row.element.remove();
      rows.delete(token);
    }
  }
  said.rows.forEach((each, place) => {
    const row = rowOf(each.token);
    row.said = each;
    show(row);
    // Moving an element would take the focus from it.
    if (body.children[place] !== row.element) body.insertBefore(row.element, body.children[place] ?? null);
  });
  say(find("total"), said.total.toLocaleString("en"));
  find("empty").hidden = said.total > 0;
  document.querySelector("table").hidden = said.total === 0;
}

async function decide(token, verdict, reason = {}) {
  const form = new URLSearchParams({ session_token: token, verdict, after: find("after").value, ...reason });
  const trouble = find("trouble");
  trouble.hidden = true;
  try {
    const answer = await fetch("/sessions/decide", { method: "POST", body: form });
    if (!answer.ok) throw new Error(await answer.text());
    say(find("said"), `Session ${short(token)}: ${worded(verdict)}`);
  } catch (error) {
    trouble.textContent = `Session ${short(token)}: ${error.message}`;
    trouble.hidden = false;
  }
}

function act(token, verdict) {
  if (verdict !== "rejected") {
    decide(token, verdict);
    return;
  }
  const dialog = find("reject");
  dialog.returnValue = "";
  say(find("reject-title"), `Reject session ${short(token)}`);
  dialog.onclose = () => {
    if (dialog.returnValue !== "reject") return;
    decide(token, verdict, { reason: find("reason").value, description: find("description").value });
  };
  dialog.showModal();
}

function state(name, words) {
  find("live").dataset.state = name;
  say(find("state"), words);
}

const events = new EventSource(document.body.dataset.events);
events.onopen = () => state("open", "Live");
events.onerror = () => state("lost", "The sandbox does not answer; trying again");
events.onmessage = tell;
setInterval(() => rows.forEach(show), 1000);
