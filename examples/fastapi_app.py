"""
Verify people in a web app, and write each verdict into your own table exactly once.

With `pip install fastapi uvicorn`, and the lines that `identomat sandbox` prints or the
IDENTOMAT_COMPANY_KEY of a real account; DATABASE is the file of the table and JOURNAL that of the
poller. Then `uvicorn --timeout-graceful-shutdown 3 examples.fastapi_app:app`, whose page begins a
check. Without that option it would not end while somebody is looking at a page that is told of a
verdict.
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
    DeadlinePassed,
    Delivery,
    Flags,
    IdentomatClient,
    Outcome,
    PollFailed,
    ResultPoller,
    SessionGone,
    SessionStatus,
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
told.onmessage = (event) => document.querySelector("p").textContent = event.data;
told.addEventListener("end", () => told.close());</script>"""


def ask(statement: str, *values: object) -> list[tuple[str, ...]]:
    """Run one statement on the table: a row per session, and the one delivery that closed it."""
    with closing(sqlite3.connect(os.environ.get("DATABASE", "checks.sqlite"))) as db, db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS checks (id INTEGER PRIMARY KEY, customer TEXT,"
            " token TEXT UNIQUE, begun TEXT, delivery TEXT UNIQUE, verdict TEXT)"
        )
        return db.execute(statement, values).fetchall()


def verdict_of(outcome: Outcome) -> tuple[str | None, bool]:
    """Return what to store, and whether that is the end of it; docs/outcomes.md says why."""
    match outcome:
        case Settled(result=result, final=final):
            return str(result.status), final
        case DeadlinePassed(status=SessionStatus.MANUAL_CHECK):
            return "MANUAL_CHECK", False
        case DeadlinePassed() | SessionGone():
            return "EXPIRED", True
        case PollFailed():
            return None, False


def keep(delivery: Delivery) -> None:
    """Write a verdict down. The same delivery may come again; then nothing changes."""
    verdict, is_final = verdict_of(delivery.outcome)
    statement = (
        "UPDATE checks SET verdict = coalesce(?, verdict), delivery = ?"
        " WHERE token = ? AND delivery IS NULL"
    )
    ask(statement, verdict, delivery.id if is_final else None, delivery.token)


def latest(customer: str) -> tuple[str, ...]:
    """Return the token of a customer's latest session, its verdict, and what closed it."""
    rows = ask(
        "SELECT token, verdict, delivery FROM checks WHERE customer = ? ORDER BY id", customer
    )
    if rows:
        return rows[-1]
    raise HTTPException(404, "no check was begun")


def open_checks() -> Iterator[Watch]:
    """Return the checks without a verdict."""
    rows = ask("SELECT token, customer, begun FROM checks WHERE delivery IS NULL")
    for token, customer, at in rows:
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


@app.get("/", response_class=HTMLResponse)
async def start() -> str:
    """Show where a customer begins, who would be logged in."""
    return START


@app.post("/checks/{customer}")
async def begin(customer: str, request: Request) -> RedirectResponse:
    """Send the person to the check that is under way, or to a new one."""
    client, poller = app.state.client, app.state.poller
    rows = ask(
        "SELECT token, verdict FROM checks WHERE customer = ? AND delivery IS NULL", customer
    )
    token = next((one for one, said in rows if one in poller or said == "MANUAL_CHECK"), None)
    if token is None:
        back = str(request.url_for("come_back", customer=customer))
        token = await client.begin(Flags(return_url=back))
        begun = datetime.now(UTC).isoformat()
        ask("INSERT INTO checks VALUES (NULL, ?, ?, ?, NULL, NULL)", customer, token, begun)
    if token not in poller:
        await poller.watch(token, reference=customer)
    return RedirectResponse(client.widget_url(token), status_code=303)


@app.get("/checks/{customer}", response_class=HTMLResponse)
async def come_back(customer: str) -> str:
    """Greet the person who comes back, and look at once."""
    token, _, delivery = latest(customer)
    if not app.state.poller.nudge(token) and delivery is None:
        # An operator has taken longer than is waited for, or nobody could read a verdict.
        await app.state.poller.watch(token, reference=customer)
    return PAGE


@app.get("/checks/{customer}/events")
async def tell(customer: str) -> StreamingResponse:
    """Tell the page how the check stands, until there is a verdict."""
    latest(customer)  # while there can still be a 404

    async def events() -> AsyncGenerator[str]:
        delivery = None
        while delivery is None:
            token, verdict, delivery = latest(customer)
            session = app.state.poller.session(token)
            yield f"data: {verdict or (session and session.status) or 'IN_PROGRESS'}\n\n"
            await anyio.sleep(1)
        yield "event: end\ndata: there is a verdict\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/healthz")
async def healthz() -> JSONResponse:
    """Say whether verdicts come: 503 while the service takes neither key nor question."""
    stats = app.state.poller.stats()
    told = {"watched": stats.watched, "limited_by": stats.limited_by}
    is_well = stats.limited_by not in {"halted", "paused"}
    return JSONResponse(told, status_code=200 if is_well else 503)
