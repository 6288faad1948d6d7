"""The sandbox and clients that leave before they have said everything."""

from collections.abc import Mapping

import pytest

from identomat_async.sandbox import Sandbox


async def test_a_client_that_leaves_in_the_middle_is_no_error() -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/external-api/result/",
        "query_string": b"",
        "headers": [],
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, object]) -> None:
        pytest.fail(f"there is nobody to send {message} to")

    sandbox = Sandbox()
    await sandbox.app(scope, receive, send)

    assert sandbox.request_count == 0
