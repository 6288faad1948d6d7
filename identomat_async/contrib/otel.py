"""
Traces and metrics of a poller, by OpenTelemetry. Needs the extra ``[otel]``.

A session takes minutes and is looked at dozens of times: a span for each request would say
little and cost much. So there is one span per watched session, made when its outcome is
known, and whatever is counted is a metric.
"""

import time
from collections.abc import Iterable
from datetime import timedelta
from threading import Lock
from typing import TypedDict, Unpack
from weakref import WeakKeyDictionary, WeakSet

import attrs
from anyio import CancelScope
from tenacity.wait import wait_base

from identomat_async import (
    IdentomatClient,
    Journal,
    RateBudget,
    ResultPoller,
    SessionResult,
    SessionStatus,
    Until,
    events,
)
from identomat_async._clock import Deadline, Seconds
from identomat_async._home import Home
from identomat_async._pause import Pause
from identomat_async._polling._purge import Purge
from identomat_async._polling._source import HasSource, ResultSource, source_of

try:
    from opentelemetry import context, metrics, trace
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        f"telemetry needs {_missing.name}: pip install 'identomat-async[otel]'", name=_missing.name
    ) from _missing

__all__ = ["OtelResultPoller", "PollerOptions"]

_NAME = "identomat_async"
_DECIDED = frozenset(status for status in SessionStatus if status.is_decided)
# What instrumentations of HTTP libraries look for in the context.
_SUPPRESS = "suppress_instrumentation"


class PollerOptions(TypedDict, total=False):
    """The keywords of `ResultPoller`, but for *observers*."""

    wait: wait_base | None
    until: Until
    deadline: Deadline | None
    review: Seconds | None
    grace: Seconds
    rate: float | RateBudget | None
    max_in_flight: int
    buffer: int
    forever: bool
    journal: Journal | None
    purge: Purge | None
    gone_window: timedelta | float


class OtelResultPoller(ResultPoller):
    """
    A `ResultPoller` that tells OpenTelemetry what it does.

    When a watch comes to its outcome there is a span ``identomat.session`` from the start of
    the watch to now, linked to the span in which it was watched; to none if it was taken up
    from a journal. Its attributes are ``identomat.token_hash``, ``identomat.outcome`` (the name
    of the outcome's class), ``identomat.status`` and ``identomat.polls``. A `PollFailed` is an
    error. The requests of looks get no spans of their own, whatever instruments the HTTP library.

    Spans and outcomes are of what watches come to: not of `wait` and `wait_all`, and once however
    often it is delivered. One that nobody has taken is withdrawn when its session is watched
    again for more (MANUAL_CHECK, and then `Until.DECIDED`), and what it then comes to is another.

    The metrics, of all such pollers that have the same *meter_provider*, each until it is closed
    (the gauges are sums, and of ``identomat.stretch`` the largest counts):

    | Name | Kind, unit | Attributes |
    |---|---|---|
    | ``identomat.watched`` | gauge, sessions | |
    | ``identomat.unacked`` | gauge, deliveries | |
    | ``identomat.undeleted`` | gauge, sessions | |
    | ``identomat.stretch`` | gauge, 1 | |
    | ``identomat.polls`` | counter, polls | ``error.type`` if it failed |
    | ``identomat.poll.duration`` | histogram, s | |
    | ``identomat.poll.lateness`` | histogram, s | |
    | ``identomat.outcomes`` | counter, sessions | ``identomat.outcome``, ``identomat.status`` |
    | ``identomat.time_to_decision`` | histogram, s from begin | ``identomat.status`` |
    | ``identomat.pauses`` | counter, pauses | ``identomat.reason``: asked, outage, halted |
    | ``identomat.handler.errors`` | counter, errors | |

    Args:
        client: An `IdentomatClient`.
        tracer_provider: Where spans go; the global one unless given.
        meter_provider: Where metrics go; the global one unless given.
        observers: Functions that are called with every event, too.
        options: The other keywords of `ResultPoller`.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        client: IdentomatClient,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        observers: Iterable[events.Observer] = (),
        **options: Unpack[PollerOptions],
    ) -> None:
        self._spans = _Spans(tracer_provider)
        self._figures = _figures_for(meter_provider)
        ours = (self._spans, self._figures.counts)
        super().__init__(_QuietClient(client), observers=[*observers, *ours], **options)
        self._figures.add(self)

    async def aclose(self) -> None:
        """End polling and waiting for good; what is left counts in no gauge any more."""
        self._figures.remove(self)
        self._spans.forget()
        await super().aclose()


class _Figures:
    """
    What is measured of all pollers that tell one provider.

    The instruments are made once: of others by the same name nobody would ask the callbacks.
    These come from the exporter's thread, and keep no poller alive.
    """

    def __init__(self, meter: metrics.Meter) -> None:
        self.counts = _Counts(meter)
        self._lock = Lock()
        self._pollers = WeakSet[ResultPoller]()
        for name, unit in (
            ("watched", "{session}"),
            ("unacked", "{delivery}"),
            ("undeleted", "{session}"),
            ("stretch", "1"),
        ):
            meter.create_observable_gauge(f"identomat.{name}", [self._reading(name)], unit=unit)

    def add(self, poller: ResultPoller) -> None:
        with self._lock:
            self._pollers.add(poller)

    def remove(self, poller: ResultPoller) -> None:
        with self._lock:
            self._pollers.discard(poller)

    def _reading(self, name: str) -> metrics.CallbackT:
        def read(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            with self._lock:
                pollers = list(self._pollers)
            each = [getattr(poller.stats(), name) for poller in pollers]
            value = max(each, default=1.0) if name == "stretch" else sum(each)
            return [metrics.Observation(value)]

        return read


# For the global provider by this module's name for it: before it is set there is another in its
# place, whose instruments become its own.
_figures: WeakKeyDictionary[object, _Figures] = WeakKeyDictionary()
_making = Lock()


def _figures_for(provider: metrics.MeterProvider | None) -> _Figures:
    is_global = provider is None or provider is metrics.get_meter_provider()
    key = metrics if is_global else provider
    with _making:
        if key not in _figures:
            _figures[key] = _Figures(metrics.get_meter(_NAME, meter_provider=provider))
        return _figures[key]


class _Spans:
    """Makes a span of each watch when it has come to its outcome."""

    def __init__(self, provider: trace.TracerProvider | None) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=provider)
        # In which span each session was watched, if in any.
        self._callers: dict[str, trace.SpanContext] = {}

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.WatchBegun(token_hash=name, resumed=False):
                caller = trace.get_current_span().get_span_context()
                if caller.is_valid:
                    self._callers[name] = caller
            case events.WatchDiscarded(token_hash=name):
                self._callers.pop(name, None)
            case events.RoleChanged(role="idle"):
                self.forget()  # what is watched is the next poller's
            case events.OutcomeReady(redelivered=False):
                self._make(event, self._callers.pop(event.token_hash, None))
            case _:
                pass

    def forget(self) -> None:
        """Link no session that is watched now."""
        self._callers.clear()

    def _make(self, event: events.OutcomeReady, caller: trace.SpanContext | None) -> None:
        end = time.time_ns()
        span = self._tracer.start_span(
            "identomat.session",
            context=context.Context(),  # its own trace: the caller's has long ended
            links=[] if caller is None else [trace.Link(caller)],
            start_time=end - int(event.waited * 1e9),
            attributes={
                "identomat.token_hash": event.token_hash,
                "identomat.polls": event.polls,
                **_kinds(event),
            },
        )
        if event.outcome == "PollFailed":
            span.set_status(trace.StatusCode.ERROR)
        span.end(end)


class _Counts:
    """Counts what happens."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._polls = meter.create_counter("identomat.polls", unit="{poll}")
        self._duration = meter.create_histogram("identomat.poll.duration", unit="s")
        self._lateness = meter.create_histogram("identomat.poll.lateness", unit="s")
        self._outcomes = meter.create_counter("identomat.outcomes", unit="{session}")
        self._decisions = meter.create_histogram("identomat.time_to_decision", unit="s")
        self._pauses = meter.create_counter("identomat.pauses", unit="{pause}")
        self._refusals = meter.create_counter("identomat.handler.errors", unit="{error}")
        self._refusals.add(0)  # to be seen before there are any

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.PollFinished():
                self._polls.add(1, {"error.type": event.error} if event.error else {})
                self._duration.record(event.elapsed)
                self._lateness.record(event.lateness)
            case events.OutcomeReady(redelivered=False):
                self._outcomes.add(1, _kinds(event))
                if event.outcome == "Settled" and event.status in _DECIDED:
                    self._decisions.record(event.age, {"identomat.status": event.status})
            case events.Paused():
                self._pauses.add(1, {"identomat.reason": event.reason})
            case events.Halted():
                self._pauses.add(1, {"identomat.reason": "halted"})
            case events.HandlerFailed():
                self._refusals.add(1)
            case _:
                pass


def _kinds(event: events.OutcomeReady) -> dict[str, str]:
    status = {} if event.status is None else {"identomat.status": event.status}
    return {"identomat.outcome": event.outcome, **status}


class _QuietClient:
    """A client whose looks nobody traces."""

    def __init__(self, client: HasSource) -> None:
        self.source = _QuietSource(source_of(client))
        # What is no client has neither; whoever needs them says so.
        self.result = getattr(client, "result", None)
        self.delete = getattr(client, "delete", None)


@attrs.define(eq=False, repr=False)
class _QuietSource:
    """A source whose looks nobody traces: all else is that of *of*."""

    of: ResultSource

    @property
    def timeout(self) -> float:
        return self.of.timeout

    @property
    def retry_wait(self) -> wait_base:
        return self.of.retry_wait

    @property
    def budget(self) -> RateBudget | None:
        return self.of.budget

    @property
    def pause(self) -> Pause:
        return self.of.pause

    @property
    def home(self) -> Home:
        return self.of.home

    @property
    def guards(self) -> set[CancelScope]:
        return self.of.guards

    def token_hash(self, token: str) -> str:
        return self.of.token_hash(token)

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        before = context.attach(context.set_value(_SUPPRESS, True))  # noqa: FBT003 - their API
        try:
            return await self.of.look(token, fresh=fresh)
        finally:
            context.detach(before)
