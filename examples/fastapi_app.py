"""
Verify people in a web app, and write each verdict into your own table exactly once.

IDENTOMAT_COMPANY_KEY names the account, DATABASE the file of the table and JOURNAL that of the
poller; then
`uvicorn --timeout-graceful-shutdown 3 examples.fastapi_app:app`, and its page begins a check.
Without that option it would not end while somebody is looking at a page that is told of a verdict.
"""

import os
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta

import anyio
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse

from identomat_async import (
    Delivery,
    Flags,
    IdentomatClient,
    ResultPoller,
    Settled,
    SqliteJournal,
    Until,
    Watch,
)

HALF_AN_HOUR = timedelta(minutes=30)
HEAD = '<!doctype html><html lang="en"><link rel="icon" href="data:,">'
START = f"""{HEAD}<title>Shop</title>
<form method="post" action="/checks/7"><button>Verify me</button></form>"""
PAGE = f"""{HEAD}<title>Your identity check</title><p role="status">One moment.</p><script>
const told = new EventSource(location.pathname + "/events");
told.onmessage = (event) => {{
    document.querySelector("p").textContent = event.data;
    if (!["IN_PROGRESS", "MANUAL_CHECK"].includes(event.data)) told.close();
}}</script>"""


def ask(statement: str, *values: object) -> list[tuple[str, ...]]:
    """Run one statement on the table, which has a row per check and room for one delivery."""
    path = os.environ.get("DATABASE", "checks.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS checks (customer TEXT PRIMARY KEY, token TEXT UNIQUE,"
            " begun TEXT, delivery TEXT UNIQUE, verdict TEXT)"
        )
        return db.execute(statement, values).fetchall()


def keep(delivery: Delivery) -> None:
    """Write a verdict down. The same delivery may come again; then nothing changes."""
    outcome = delivery.outcome
    verdict = str(outcome.status) if isinstance(outcome, Settled) else "EXPIRED"
    statement = "UPDATE checks SET verdict = ?, delivery = ? WHERE token = ? AND delivery IS NULL"
    ask(statement, verdict, delivery.id, delivery.token)


def find(customer: str) -> tuple[str, ...]:
    """Return the token and verdict of a customer's check."""
    if rows := ask("SELECT token, verdict FROM checks WHERE customer = ?", customer):
        return rows[0]
    raise HTTPException(404, "no check was begun")


def open_checks() -> Iterator[Watch]:
    """Return the checks without a verdict."""
    rows = ask("SELECT customer, token, begun FROM checks WHERE delivery IS NULL")
    for customer, token, at in rows:
        begun = datetime.fromisoformat(at)
        yield Watch(token, reference=customer, begun=begun, deadline=begun + HALF_AN_HOUR)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Poll while the app runs, beginning with what was open when it last ended, however."""
    async with IdentomatClient.from_env() as client, anyio.create_task_group() as tasks:
        app.state.client = client
        journal = SqliteJournal(os.environ.get("JOURNAL", "identomat.sqlite"))
        app.state.poller = poller = ResultPoller(client, until=Until.DECIDED, journal=journal)
        await tasks.start(poller.run, keep)
        # The journal knows what was watched; the table knows what was begun and not watched yet.
        await poller.reconcile(open_checks())
        yield
        await poller.drain()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def start() -> HTMLResponse:
    """Show where a customer begins, who would be logged in."""
    return HTMLResponse(START)


@app.post("/checks/{customer}")
async def begin(customer: str, request: Request) -> RedirectResponse:
    """Begin a check and send the person there."""
    client: IdentomatClient = app.state.client
    back = str(request.url_for("come_back", customer=customer))
    token = await client.begin(Flags(return_url=back))
    ask(
        "INSERT OR REPLACE INTO checks VALUES (?, ?, ?, NULL, NULL)",
        customer,
        token,
        datetime.now(UTC).isoformat(),
    )
    await app.state.poller.watch(token, reference=customer)
    return RedirectResponse(client.widget_url(token), status_code=303)


@app.get("/checks/{customer}")
async def come_back(customer: str) -> HTMLResponse:
    """Greet the person who comes back, and look at once."""
    token, _ = find(customer)
    app.state.poller.nudge(token)
    return HTMLResponse(PAGE)


@app.get("/checks/{customer}/events")
async def tell(customer: str) -> StreamingResponse:
    """Tell the page how the check stands, until there is a verdict."""

    async def events() -> AsyncGenerator[str]:
        while True:
            token, verdict = find(customer)
            session = app.state.poller.session(token)
            yield f"data: {verdict or (session and session.status) or 'IN_PROGRESS'}\n\n"
            if verdict:
                return
            await anyio.sleep(1)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/healthz")
async def healthz() -> JSONResponse:
    """Say whether verdicts come: 503 while the service takes neither key nor question."""
    stats = app.state.poller.stats()
    told = {"watched": stats.watched, "limited_by": stats.limited_by}
    is_well = stats.limited_by not in {"halted", "paused"}
    return JSONResponse(told, status_code=200 if is_well else 503)
