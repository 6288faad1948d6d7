"""How a front answers browsers."""

import asyncio
import time
from http import HTTPStatus

from identomat_async.sandbox._faults_steps import http_date
from identomat_async.sandbox._page import View
from identomat_async.sandbox._page_request import Request
from identomat_async.sandbox._page_sessions import TICK, Live
from identomat_async.sandbox._pages import Pages


async def show(
    pages: Pages,
    request: Request,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Answer one request; one that listens is told things until it has gone."""
    view = pages.answer(request)
    writer.write(_head(view))
    if request.method != "HEAD":
        writer.write(view.body)
    await writer.drain()
    if view.is_live:
        await _tell(pages.live(request), reader, writer)


async def _tell(live: Live, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # A front that stops cancels this.
    while not reader.at_eof():
        writer.write(live.next())
        await writer.drain()
        await asyncio.sleep(TICK)
    # Without a length, the end of the connection is the end of the answer.
    writer.close()


def _head(view: View) -> bytes:
    # There is none where it is not known, and none where there can be no body.
    has_length = not view.is_live and view.status != HTTPStatus.NO_CONTENT
    headers = [
        ("content-type", view.content_type),
        ("date", http_date(time.time())),
        *view.headers,
        ("content-length", f"{len(view.body)}") if has_length else ("connection", "close"),
    ]
    lines = [f"HTTP/1.1 {view.status:d} {HTTPStatus(view.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
