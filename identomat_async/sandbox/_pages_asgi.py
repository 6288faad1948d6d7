"""The pages as ASGI applications."""

from collections.abc import AsyncIterator

import anyio
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Incoming
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from identomat_async.sandbox._page_request import Request
from identomat_async.sandbox._page_sessions import TICK, Live
from identomat_async.sandbox._pages import Pages


class PageEndpoint:
    """
    Every page, as one ASGI application.

    Args:
        pages: What answers.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the request, answer it."""
        incoming = Incoming(scope, receive)
        try:
            body = await incoming.body()
        except ClientDisconnect:
            return
        request = Request(
            method=incoming.method,
            path=scope["path"],
            query=scope["query_string"],
            headers=dict(incoming.headers),
            body=body,
        )
        view = self._pages.answer(request)
        headers = dict(view.headers)
        if view.is_live:
            frames = _told(self._pages, self._pages.live(request))
            response: Response = StreamingResponse(frames, view.status, headers, view.content_type)
        else:
            response = Response(view.body, view.status, headers, view.content_type)
        await response(scope, receive, send)


def page_routes(pages: Pages) -> list[Route]:
    """Lay out the paths of the pages."""
    endpoint = PageEndpoint(pages)
    return [Route(path, endpoint) for path in pages.paths]


async def _told(pages: Pages, live: Live) -> AsyncIterator[bytes]:
    while pages.is_open:
        if frame := live.next():
            yield frame
        await anyio.sleep(TICK)
