"""What a call comes to when a fault strikes it: the service acts or not, and what is said."""

import json
import time
from collections.abc import Callable
from http import HTTPStatus

import attrs

from identomat_async.sandbox._asgi import Answer, Call, Desk
from identomat_async.sandbox._faults import Fault, chance, family_of
from identomat_async.sandbox._faults_steps import Scene, Step, answered, http_date
from identomat_async.sandbox._faults_wire import steps_of
from identomat_async.sandbox._parameters import read_parameters, read_parts
from identomat_async.sandbox._refusal import Refusal
from identomat_async.sandbox._service import Service
from identomat_async.sandbox._signing import code_for_body, header_for

# So many others are looked at for one whose answer is worth going astray.
_LOOKED_AT = 24
_NOTHING = Answer(b"{}")


@attrs.frozen(kw_only=True)
class Asked:
    """
    Who asks for what.

    Attributes:
        operation: The method.
        token: The session; None where there is none, or none yet.
        name: What stands for the session in the choice of faults.
    """

    operation: str
    token: str | None
    name: str


def asked_by(call: Call, number: Callable[[], int]) -> Asked:
    """
    Read from a call which session it is about.

    Args:
        call: The request.
        number: Counts those of its method that have no other name, and so gives them one.
    """
    try:
        parts = read_parts(call.content_type, call.body)
        sent = read_parameters(
            query=call.query, content_type=call.content_type, body=call.body, parts=parts
        )
    except Refusal:
        sent = {}
    token, config = sent.get("session_token"), sent.get("config_id")
    if call.operation != "begin" and isinstance(token, str):
        return Asked(operation=call.operation, token=token, name=token)
    name = f"config {config}" if isinstance(config, str) else f"request {number()}"
    return Asked(operation=call.operation, token=None, name=name)


@attrs.frozen(kw_only=True)
class FaultDesk:
    """
    Answers calls as the desk does, or as a fault has it.

    Attributes:
        desk: The service's own.
        seed: Chooses among the sessions whose answers go astray.
        retry_after: The seconds for which faults ask clients to wait.
    """

    desk: Desk
    seed: int = 0
    retry_after: float = 1.0

    @property
    def is_signed(self) -> bool:
        """Whether answers are signed."""
        return self.desk.secret is not None

    def now(self) -> float:
        """Read the service's clock."""
        return self.desk.service.now()

    def answer(
        self, call: Call, asked: Asked, n: int, fault: Fault | None
    ) -> tuple[Answer, tuple[Step, ...]]:
        """
        Answer a call, or do what *fault* has instead.

        Returns:
            What the service itself said (nothing if it did not act), and what happens on
            the connection.
        """
        if fault is not None and not fault.acts:
            self.turned_away(asked)
            return _NOTHING, steps_of(fault, self._scene(call, asked, n, _NOTHING))
        answer = self.desk.answer(call)
        if fault is None or _is_refusal(answer):
            # In an error of its own there is nothing to spoil.
            return answer, answered(answer, f"Date: {http_date(time.time())}")
        return answer, steps_of(fault, self._scene(call, asked, n, answer))

    def turned_away(self, asked: Asked) -> None:
        """Note a request that the service did not act on."""
        self.desk.service.count(asked.operation)
        if asked.operation == "result" and asked.token is not None:
            self.desk.service.note_poll(asked.token)

    def _scene(self, call: Call, asked: Asked, n: int, answer: Answer) -> Scene:
        by_chance = chance(self.seed, "scene", asked.operation, asked.name, n)
        other = self._somebody_else(asked.token, by_chance)
        is_poll = call.operation == "result" and asked.token is not None
        return Scene(
            answer=answer,
            operation=family_of(call.operation),
            stray=None if other is None else self._signed(self._said_of(other, call.operation)),
            other=other,
            older=self._signed(self._first_said(asked.token)) if is_poll else None,
            sign=self._sign,
            retry_after=self.retry_after,
            chance=by_chance,
            now=time.time(),
        )

    def _sign(self, body: bytes) -> str | None:
        secret = self.desk.secret
        return None if secret is None else header_for(code_for_body(secret, body))

    def _signed(self, answer: Answer) -> Answer:
        return attrs.evolve(answer, signature=self._sign(answer.body))

    def _somebody_else(self, token: str | None, by_chance: float) -> str | None:
        others = self.desk.service.tokens
        start = int(by_chance * len(others))
        near = [
            other for other in (*others[start:], *others[:start])[:_LOOKED_AT] if other != token
        ]
        settled = (other for other in near if self.desk.service.is_settled(other))
        return next(settled, near[0] if near else None)

    def _said_of(self, token: str, operation: str) -> Answer:
        service = self.desk.service
        try:
            if operation == "begin":
                return Answer(json.dumps(token).encode())
            if operation.startswith("result/"):
                content, content_type = service.media(token, operation.partition("/")[2])
                return Answer(content, content_type=content_type)
            return Answer(service.peek(token))
        except Refusal as refused:
            return Answer(json.dumps(refused.document).encode())

    def _first_said(self, token: str | None) -> Answer:
        service: Service = self.desk.service
        try:
            return Answer(service.peek(token or "", age=0.0))
        except Refusal:
            return _NOTHING


def _is_refusal(answer: Answer) -> bool:
    return answer.status != HTTPStatus.OK or answer.body.startswith(b'"SESSION_')
