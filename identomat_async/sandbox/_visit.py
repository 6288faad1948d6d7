"""What a person has done on the widget page, as far as the result document tells."""

from collections.abc import Mapping
from typing import TypeAlias

import attrs

Given: TypeAlias = str | bool | list[str]
"""An answer: a text or the key of an option, yes or no, or the keys of several options."""


@attrs.frozen
class Reason:
    """
    Why a session is rejected.

    Attributes:
        value: The code.
        description: An explanation for people.
    """

    value: str = ""
    description: str = ""


# Compared by identity, so that a cache can be asked with it.
@attrs.frozen(kw_only=True, eq=False)
class Visit:
    """
    One person's visit to the widget page.

    Attributes:
        answers: What was answered, by the number of the questionnaire among those of the
            session and the number of the question in it. A questionnaire that is not there
            was not answered on the page.
        reason: Why the session is rejected, if it is; None for what the sandbox invents.
        is_over: Whether the person has come to the end of the page.
    """

    answers: Mapping[int, Mapping[int, Given]] = attrs.field(
        factory=dict[int, Mapping[int, Given]], repr=False
    )
    reason: Reason | None = None
    is_over: bool = False


NOBODY = Visit()
