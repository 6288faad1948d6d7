"""What most people write: a task per session, httpx as it comes, and one semaphore."""

import argparse
import asyncio
import base64
import hmac
import json
import time
from collections.abc import Mapping, Sequence

import httpx

from benchmarks._faulty import COMPANY, SECRET, TERMINAL, Figures, Verdict, is_right
from identomat_async.sandbox import Front, Sandbox

_EVERY = 1.0
# As many as httpx keeps connections, so that none is closed after each answer.
_AT_ONCE = 20


def code(body: bytes) -> str:
    """Return the header that signs *body*."""
    digest = hmac.digest(SECRET.encode(), body, "sha256")
    return f'signature="{base64.b64encode(digest).decode()}"'


async def post(http: httpx.AsyncClient, token: str, *, signed: bool) -> Mapping[str, object]:
    """Ask how a session stands; any answer will do that is JSON (and signed)."""
    body = json.dumps({"company_key": COMPANY, "session_token": token}).encode()
    headers = {"Content-Type": "application/json"}
    if signed:
        headers["Authorization"] = code(body)
    answer = await http.post("result/", content=body, headers=headers)
    if signed and answer.headers["Authorization"] != code(answer.content):
        raise ValueError("the signature is wrong")
    document: Mapping[str, object] = answer.json()
    return document


async def wait(
    http: httpx.AsyncClient, gate: asyncio.Semaphore, token: str, until: float, *, signed: bool
) -> Verdict:
    """Poll until there is a verdict; retry on any error."""
    while True:
        try:
            async with gate:
                document = await post(http, token, signed=signed)
            status = str(document["result"])
            if status in TERMINAL:
                person: Mapping[str, str] = document["person"]  # type: ignore[assignment]
                return Verdict(token=token, status=status, number=person.get("personal_number"))
        except Exception:  # noqa: BLE001, S110 - it is what most people write
            pass
        if time.monotonic() > until:
            return Verdict(token=token, status="in_progress", number=None)
        await asyncio.sleep(_EVERY)


async def poll_all(
    base_url: str, tokens: Sequence[str], span: float, *, signed: bool
) -> list[Verdict]:
    """Poll every session in a task of its own."""
    until = time.monotonic() + span
    async with httpx.AsyncClient(base_url=base_url, trust_env=False) as http:
        # Without it httpx does nothing but wait for itself, and finds no verdict at all.
        gate = asyncio.Semaphore(_AT_ONCE)
        tasks = [
            asyncio.create_task(wait(http, gate, token, until, signed=signed)) for token in tokens
        ]
        done, late = await asyncio.wait(tasks, timeout=2 * span + 10)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return [task.result() for task in done]


def naive(
    sandbox: Sandbox, front: Front, tokens: Sequence[str], span: float, asked: argparse.Namespace
) -> Figures:
    """Let the naive client poll the sessions there are."""
    started, spent = time.perf_counter(), time.process_time()
    with sandbox.serve(front=front) as server:
        verdicts = asyncio.run(poll_all(server.base_url, tokens, span, signed=asked.signed))
    found = {verdict.token: verdict for verdict in verdicts if verdict.status in TERMINAL}
    truths = {token: sandbox.truth(token) for token in tokens}
    return Figures(
        contender="httpx.AsyncClient, a task each",
        sessions=len(tokens),
        wrong=sum(not is_right(verdict, truths[token]) for token, verdict in found.items()),
        lost=sum(t.status in TERMINAL and token not in found for token, t in truths.items()),
        requests=sandbox.request_count,
        struck=sum(front.struck.values()),
        seconds=time.perf_counter() - started,
        cpu=time.process_time() - spent,
    )
