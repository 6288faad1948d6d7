"""What the sandbox knows about one session."""

import attrs

from identomat_async.sandbox._script import Script, ScriptStep


@attrs.frozen(kw_only=True)
class Truth:
    """
    What the sandbox knows about one session; times are readings of its clock.

    Attributes:
        status: The status now.
        begun_at: When the session was begun.
        settled_at: When it first became approved, rejected, disagreed or manual_check;
            None as long as it has not.
        decided_at: As *settled_at*, without manual_check.
        polls: How often its result was asked for, whatever was answered.
        last_poll: When that was last; None if never.
        deleted: Whether it was deleted.
        person_number: The person's number, which is `person.personal_number` of the
            result document and belongs to this session alone.
        script: The whole life of the session, the future included.
    """

    status: str
    begun_at: float
    settled_at: float | None
    decided_at: float | None
    polls: int
    last_poll: float | None
    deleted: bool
    person_number: str
    script: Script


@attrs.frozen(kw_only=True)
class Glance:
    """
    What the pages show of a session; times are readings of the clock.

    Attributes:
        token: The session.
        status: The status now; ``"deleted"`` and ``"invalid"`` besides those of results.
        begun: When it was begun.
        polls: How often its result was asked for.
        last_poll: When that was last; None if never.
        ahead: The next change of its status; None if none is to come.
    """

    token: str
    status: str
    begun: float
    polls: int
    last_poll: float | None
    ahead: ScriptStep | None
