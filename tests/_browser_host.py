"""A company's own little site, which sends its visitors to the widget and asks for verdicts."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import anyio

from identomat_async import Flags, IdentomatClient
from identomat_async.sandbox import SandboxServer

_PAGE = """<!doctype html><html lang="en"><link rel="icon" href="data:,">
<title>Shop</title><h1>Shop</h1>{body}
<p>Status: <output id="status">unknown</output></p>
<script>
const look = async () => {{
  document.getElementById("status").value = await (await fetch("/status")).text();
}};
{script}
</script>"""
_START = '<form method="post" action="/begin"><button>Verify me</button></form>'
_FRAME = '<iframe title="Check" src="{url}" allow="camera" width="700" height="1400"></iframe>'
_LISTEN = """
window.addEventListener("message", (event) => {{
  if (event.origin === "{origin}" && event.data === "DONE") setInterval(look, 100);
}});
"""


class Host:
    """
    The site.

    Args:
        sandbox: Where the service is.
    """

    def __init__(self, sandbox: SandboxServer) -> None:
        self._sandbox = sandbox
        self.token = ""
        self.url = ""

    def answer(self, method: str, path: str) -> tuple[int, str, str]:
        """Return the status, the body, and where to go."""
        pages: dict[tuple[str, str], Callable[[], tuple[int, str, str]]] = {
            ("GET", "/"): lambda: (200, _PAGE.format(body=_START, script=""), ""),
            ("POST", "/begin"): lambda: (303, "", self._begin(f"{self.url}/done")),
            ("GET", "/done"): lambda: (
                200,
                _PAGE.format(body="", script="setInterval(look, 100);"),
                "",
            ),
            ("GET", "/embedded"): self._embedded,
            ("GET", "/status"): lambda: (200, anyio.run(self._status), ""),
        }
        return pages.get((method, path), lambda: (404, "", ""))()

    def _embedded(self) -> tuple[int, str, str]:
        url = self._begin()
        parts = urlsplit(url)
        script = _LISTEN.format(origin=f"{parts.scheme}://{parts.netloc}")
        return 200, _PAGE.format(body=_FRAME.format(url=url), script=script), ""

    def _begin(self, return_url: str | None = None) -> str:
        return anyio.run(self._begun, Flags(return_url=return_url))

    async def _begun(self, flags: Flags) -> str:
        async with IdentomatClient("shop", base_url=self._sandbox.base_url) as client:
            self.token = await client.begin(flags)
            return client.widget_url(self.token)

    async def _status(self) -> str:
        async with IdentomatClient("shop", base_url=self._sandbox.base_url) as client:
            return (await client.result(self.token)).status


@contextmanager
def hosting(sandbox: SandboxServer) -> Generator[Host]:
    """Serve the site for the length of a block."""
    host = Host(sandbox)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(*host.answer("GET", self.path))

        def do_POST(self) -> None:
            self._say(*host.answer("POST", self.path))

        def _say(self, status: int, body: str, location: str) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        host.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()
