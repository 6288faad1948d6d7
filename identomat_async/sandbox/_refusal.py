"""What the sandbox says instead of an answer."""

from typing import Self

SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
SESSION_INVALID = "SESSION_INVALID"
# The service's own words for these are not documented; these are stand-ins in its manner.
INVALID_COMPANY_KEY = "INVALID_COMPANY_KEY"
INVALID_SIGNATURE = "INVALID_SIGNATURE"
MEDIA_NOT_FOUND = "MEDIA_NOT_FOUND"
PERSON_NOT_FOUND = "PERSON_NOT_FOUND"
METHOD_NOT_FOUND = "METHOD_NOT_FOUND"
METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
ARGUMENT_ERROR = "argumentError"


class Refusal(Exception):  # noqa: N818  # an answer of the service, not a fault of the sandbox
    """
    A call that is answered with an error.

    Attributes:
        code: The error code.
        argument: The name of the argument that is missing or wrong, for an argument error.
    """

    def __init__(self, code: str, argument: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.argument = argument

    @classmethod
    def of_argument(cls, name: str) -> Self:
        """Refuse a call for what it says, or does not say, under *name*."""
        return cls(ARGUMENT_ERROR, name)

    @property
    def document(self) -> object:
        """What the answer's body says: a bare code, or an object that names the argument."""
        return self.code if self.argument is None else {self.code: self.argument}
