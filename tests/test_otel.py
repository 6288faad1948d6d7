"""What OpenTelemetry is told of a poller."""

import gc
import re
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import anyio
import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tenacity import wait_fixed

from identomat_async import (
    ConfigurationError,
    Delivery,
    MemoryJournal,
    Until,
    Watch,
    events,
    wait_person,
)
from identomat_async._polling._policy import Load
from identomat_async.contrib.otel import OtelResultPoller
from identomat_async.sandbox import Sandbox, Script
from tests._docs_ground import DOCS
from tests._handlers import Handler
from tests.test_client import client_of

T = TypeVar("T")


class Station:
    """Where spans and metrics come to."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])
        self.tracer = self.tracers.get_tracer("app")

    @property
    def spans(self) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name != "request"]

    def points(self, name: str) -> dict[tuple[Any, ...], Any]:
        """The points of a metric by the values of their attributes."""
        return {tuple(point.attributes.values()): point for point in self._points(name)}

    @property
    def metrics(self) -> set[str]:
        """The names of all metrics that there are."""
        data = self._reader.get_metrics_data()
        return {
            metric.name
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def _points(self, name: str) -> Iterator[Any]:
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name:
                        yield from metric.data.data_points


@pytest.fixture
def station() -> Iterator[Station]:
    station = Station()
    yield station
    station.tracers.shutdown()
    station.meters.shutdown()


def poller_of(client: Any, station: Station, **options: Any) -> OtelResultPoller:
    return OtelResultPoller(
        client,
        tracer_provider=station.tracers,
        meter_provider=station.meters,
        **{"wait": wait_fixed(5), **options},
    )


def in_a_thread(function: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function).result()


async def test_a_session_is_one_span_that_is_linked_to_where_it_was_watched(station):
    sandbox = Sandbox("k", life=Script.of("approved", after=60))
    async with client_of(sandbox) as client, poller_of(client, station) as poller:
        token = await client.begin()
        with station.tracer.start_as_current_span("request") as request:
            await poller.watch(token, reference="user:1")
        outcome = await anext(poller)

    (span,) = station.spans
    assert span.name == "identomat.session"
    assert span.parent is None
    assert [link.context for link in span.links] == [request.get_span_context()]
    assert dict(span.attributes) == {
        "identomat.token_hash": client.token_hash(token),
        "identomat.outcome": "Settled",
        "identomat.status": "APPROVED",
        "identomat.polls": outcome.polls,
    }
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(outcome.waited, abs=0.001)
    assert span.status.is_unset
    assert token not in span.to_json()
    assert "user:1" not in span.to_json()


async def test_many_that_are_watched_in_one_call_are_linked_to_it(station):
    sandbox = Sandbox("k", life=Script.of("rejected", after=30))
    async with client_of(sandbox) as client, poller_of(client, station) as poller:
        tokens = [await client.begin() for _ in range(3)]
        with station.tracer.start_as_current_span("request") as request:
            await poller.watch_many([tokens[0], Watch(tokens[1]), tokens[2]])
        await poller.watch(await client.begin())
        _ = [outcome async for outcome in poller]

    links = [[link.context for link in span.links] for span in station.spans]
    assert sorted(links, key=len) == [[], *[[request.get_span_context()]] * 3]


async def test_what_was_discarded_is_no_span_and_a_deadline_is_no_error(station):
    async with client_of(Sandbox("k")) as client, poller_of(client, station) as poller:
        with station.tracer.start_as_current_span("request"):
            await poller.watch(token := await client.begin())
        assert await poller.discard(token)
        assert not await poller.discard(token)
        await poller.watch(token, deadline=1)
        await anext(poller)

    (span,) = station.spans
    assert span.attributes["identomat.outcome"] == "DeadlinePassed"
    assert span.status.is_unset
    assert span.links == ()


async def test_a_session_that_cannot_be_read_is_an_error(station):
    sandbox = Sandbox("k")
    async with client_of(sandbox) as client, poller_of(client, station) as poller:
        token = await client.begin()
        await poller.watch(token)
        sandbox.invalidate(token)
        outcome = await anext(poller)
    (span,) = station.spans
    assert type(outcome).__name__ == span.attributes["identomat.outcome"] == "PollFailed"
    assert span.status.status_code is trace.StatusCode.ERROR


async def test_what_is_left_to_another_process_is_linked_to_nothing_any_more(station):
    journal = MemoryJournal()
    async with client_of(Sandbox("k")) as client:
        poller = poller_of(client, station, journal=journal)

        async def keep(_: object) -> None: ...

        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, keep)
            with station.tracer.start_as_current_span("request"):
                await poller.watch(await client.begin(), deadline=300)
            tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, keep)
            await anyio.sleep(600)
            tasks.cancel_scope.cancel()
    (span,) = station.spans
    assert span.links == ()


async def test_what_was_watched_before_or_elsewhere_is_linked_to_no_span(station):
    sandbox = Sandbox("k", life=Script.of("approved", after=60))
    told: list[events.Event] = []
    async with client_of(sandbox) as client:
        poller = poller_of(client, station, journal=MemoryJournal(), observers=[told.append])
        with station.tracer.start_as_current_span("request"):
            await poller.watch(await client.begin())
        async with anyio.create_task_group() as tasks:
            with station.tracer.start_as_current_span("request"):
                await tasks.start(poller.run, Handler())
            with station.tracer.start_as_current_span("request") as request:
                await poller.watch(await client.begin())
            await anyio.sleep(200)
            tasks.cancel_scope.cancel()
    begun = [event for event in told if isinstance(event, events.WatchBegun)]
    assert [event.resumed for event in begun] == [True, False]
    links = {span.attributes["identomat.token_hash"]: span.links for span in station.spans}
    assert links[begun[0].token_hash] == ()
    assert [link.context for link in links[begun[1].token_hash]] == [request.get_span_context()]


async def test_a_session_counts_once_however_often_it_is_delivered(station):
    sandbox = Sandbox("k", life=Script.of("approved", after=20))
    journal, told = MemoryJournal(), list[events.Event]()
    async with client_of(sandbox) as client:
        token = await client.begin()
        for number, handler in enumerate([Handler(failures=100), Handler(failures=100), Handler()]):
            poller = poller_of(client, station, journal=journal, observers=[told.append])
            async with anyio.create_task_group() as tasks:
                await tasks.start(poller.run, handler)
                if not number:
                    await poller.watch(token)
                await anyio.sleep(300)
                tasks.cancel_scope.cancel()
            assert handler.taken
            # Nor does the schedule learn that somebody took so long.
            assert len(poller.stats().durations) == (not number)
    outcomes = [event for event in told if isinstance(event, events.OutcomeReady)]
    assert [event.redelivered for event in outcomes] == [False, True, True]
    (_,) = station.spans
    assert station.points("identomat.outcomes")["Settled", "APPROVED"].value == 1
    decision = station.points("identomat.time_to_decision")["APPROVED",]
    assert (decision.count, decision.sum) == (1, outcomes[0].age)


async def test_an_outcome_that_is_withdrawn_counts_and_so_does_what_follows(station):
    sandbox = Sandbox("k", life=Script.of("manual_check", after=20).then("approved", after=100))
    async with client_of(sandbox) as client, poller_of(client, station) as poller:
        await poller.watch(token := await client.begin())
        await anyio.sleep(40)
        await poller.watch(token, until=Until.DECIDED)
        assert [outcome.status async for outcome in poller] == ["APPROVED"]
    assert len(station.spans) == 2
    assert set(station.points("identomat.outcomes")) == {
        ("Settled", "MANUAL_CHECK"),
        ("Settled", "APPROVED"),
    }


async def test_what_is_only_awaited_counts_as_looks_and_not_as_an_outcome(station):
    sandbox = Sandbox("k", life=Script.of("approved", after=20))
    async with client_of(sandbox) as client:
        poller = poller_of(client, station)
        await poller.wait(await client.begin())
    assert station.points("identomat.polls")[()].value == poller.stats().polls
    assert station.points("identomat.outcomes") == {}
    assert station.points("identomat.time_to_decision") == {}
    assert station.spans == []


async def test_looks_are_not_traced_and_the_handlers_own_calls_are(station, source):
    seen: list[object] = []
    look = source.look

    async def spied(token, *, fresh):
        seen.append(context.get_value("suppress_instrumentation"))
        return await look(token, fresh=fresh)

    source.look = spied
    source.decides("one", "approved", after=20)
    async with poller_of(source, station) as poller:
        await poller.watch("one")
        await anext(poller)
        assert context.get_value("suppress_instrumentation") is None
    assert len(seen) > 2
    assert set(seen) == {True}


async def test_what_is_accepted_is_deleted_but_not_what_is_open_again(station):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))

    async def handler(_: Delivery) -> None:
        sandbox.fail(1, "F30-code", operation="delete")

    async with client_of(sandbox) as client:
        poller = poller_of(client, station, purge="after_delivery")
        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, handler)
            for _ in range(2):
                await poller.watch(await client.begin())
            await anyio.sleep(20)
            sandbox.decide(next(iter(sandbox.tokens)), "manual_check")
            await anyio.sleep(400)
            tasks.cancel_scope.cancel()
    assert [sandbox.truth(token).deleted for token in sandbox.tokens] == [False, True]


async def test_what_is_counted(station):
    sandbox = Sandbox("k", life=Script.of("manual_check", after=30).then("approved", after=600))
    told: list[events.Event] = []
    async with client_of(sandbox) as client:
        poller = poller_of(client, station, until=Until.DECIDED, observers=[told.append])

        async def handler(_: object) -> None:
            if not poller.stats().handler_errors:
                raise LookupError

        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, handler)
            await poller.watch(await client.begin())
            await anyio.sleep(100)
            assert station.points("identomat.watched")[()].value == 1
            sandbox.fail(1, "F39-500", operation="result")
            sandbox.fail(1, "F38-later", operation="result")
            await anyio.sleep(2000)
            tasks.cancel_scope.cancel()
        stats = poller.stats()

    assert any(isinstance(event, events.OutcomeReady) for event in told)
    polls = station.points("identomat.polls")
    assert sum(point.value for point in polls.values()) == stats.polls
    assert polls["ServerError",].value == 1
    assert station.points("identomat.poll.duration")[()].count == stats.polls
    assert station.points("identomat.poll.lateness")[()].count == stats.polls
    assert station.points("identomat.outcomes")["Settled", "APPROVED"].value == 1
    decision = station.points("identomat.time_to_decision")["APPROVED",]
    # Looked at every five minutes under review, and there was a pause.
    assert 630 <= decision.sum <= 1100
    assert station.points("identomat.pauses")["asked",].value == 1
    assert station.points("identomat.handler.errors")[()].value == 1
    for name in ("watched", "unacked", "undeleted"):
        assert station.points(f"identomat.{name}")[()].value == 0
    assert station.points("identomat.stretch")[()].value == 1


async def test_figures_are_the_same_in_the_thread_of_an_exporter(station):
    sandbox = Sandbox("k", life=Script.of("approved", after=20))
    async with client_of(sandbox) as client:
        poller = poller_of(client, station)

        def figures() -> list[float]:
            # As a thread that knows no event loop does it: not even that of who waits for it.
            names = ("watched", "unacked", "undeleted", "stretch", "handler.errors")
            return [station.points(f"identomat.{name}")[()].value for name in names]

        async def refuse(_: object) -> None:
            raise LookupError

        assert in_a_thread(figures) == [0, 0, 0, 1, 0]
        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, refuse)
            await poller.watch(await client.begin())
            await anyio.sleep(10)
            assert in_a_thread(figures) == [1, 0, 0, 1, 0]
            await anyio.sleep(100)
            assert in_a_thread(figures) == [0, 1, 0, 1, poller.stats().handler_errors]
            assert poller.stats().handler_errors > 3
            tasks.cancel_scope.cancel()


async def test_pollers_of_one_provider_are_one_figure_each_until_it_is_closed(station, caplog):
    def watched() -> float:
        return station.points("identomat.watched")[()].value

    async with client_of(Sandbox("k")) as client:
        wait = wait_person()
        pollers = [poller_of(client, station, wait=wait) for _ in range(2)]
        for count, poller in enumerate(pollers, start=1):
            await poller.watch_many([await client.begin() for _ in range(count)])
        assert watched() == 3
        pollers[1]._core.learner.load = Load(stretch=4.0)
        assert station.points("identomat.stretch")[()].value == 4
        await pollers[0].aclose()
        assert watched() == 2
        gone = weakref.ref(pollers[1])
        del pollers, poller
        gc.collect()
        assert gone() is None
        assert watched() == 0
        assert station.points("identomat.stretch")[()].value == 1
    assert caplog.text == ""


def test_the_global_provider_is_one_before_and_after_it_is_set():
    program = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from identomat_async import IdentomatClient
from identomat_async._polling._policy import Load
from identomat_async.contrib.otel import OtelResultPoller

client, reader, provider = IdentomatClient("k"), InMemoryMetricReader(), None
pollers = [OtelResultPoller(client)]
metrics.set_meter_provider(provider := MeterProvider([reader]))
pollers += [OtelResultPoller(client), OtelResultPoller(client, meter_provider=provider)]
for watched, poller in enumerate(pollers, start=1):
    poller.stats = lambda watched=watched, stats=poller.stats(): type(
        "Stats", (), {"watched": watched, "unacked": 0, "undeleted": 0, "stretch": 1.0}
    )
(of_all,) = reader.get_metrics_data().resource_metrics
(ours,) = of_all.scope_metrics
print({metric.name: metric.data.data_points[0].value for metric in ours.metrics})
"""
    ran = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert ran.stderr == ""
    assert "'identomat.watched': 6," in ran.stdout


async def test_a_closed_poller_keeps_nothing_of_those_who_watched(station):
    async with client_of(Sandbox("k")) as client:
        async with poller_of(client, station) as poller:
            with station.tracer.start_as_current_span("request"):
                await poller.watch(await client.begin())
        assert len(poller._spans._callers) == 1  # the next block goes on with it
        await poller.aclose()
        assert not poller._spans._callers


@pytest.mark.parametrize("text", [OtelResultPoller.__doc__, (DOCS / "on-call.md").read_text()])
async def test_every_metric_is_documented(station, text):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client, poller_of(client, station) as poller:
        await poller.watch(await client.begin())
        sandbox.fail(1, "F38-later", operation="result")
        await anext(poller)
    documented = set(re.findall(r"^ *\| `+(identomat\.[a-z_.]+)`+ \|", text, re.MULTILINE))
    assert documented == station.metrics


async def test_an_account_that_is_refused_is_a_pause(station):
    async with client_of(Sandbox("other")) as client:
        poller = poller_of(client, station)

        async def keep(_: object) -> None: ...

        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, keep)
            await poller.watch("token-of-somebody")
            await anyio.sleep(600)
            tasks.cancel_scope.cancel()
    assert station.points("identomat.pauses")["halted",].value == 1
    assert station.points("identomat.time_to_decision") == {}


@pytest.mark.parametrize("client", ["the company key", None, object()])
def test_something_else_than_a_client_is_refused(client: Any, station: Station) -> None:
    with pytest.raises(ConfigurationError, match="client must be an IdentomatClient"):
        poller_of(client, station)


def test_without_its_extra_it_says_what_to_install():
    program = "import sys; sys.modules['opentelemetry'] = None\nimport identomat_async.contrib.otel"
    ran = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert "telemetry needs opentelemetry: pip install 'identomat-async[otel]'" in ran.stderr
