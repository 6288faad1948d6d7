"""What the fixtures are made of, in terms of one invented account."""

from collections.abc import Callable, Mapping

import attrs

from identomat_async._client import IdentomatClient
from identomat_async.sandbox import Sandbox, Script

COMPANY_KEY = "invented-company-key"
"""The company key of the fixtures."""

SECRET_KEY = "invented-secret-key"  # noqa: S105 - opens nothing
"""The HMAC key that belongs to it."""

# Sure and soon, so that a test says only what is special about it.
_LIFE = Script.of("approved", after=30)


@attrs.frozen(kw_only=True)
class Account:
    """
    The keys under which everything in one test goes.

    Attributes:
        company_key: What the client says and the sandbox wants.
        secret_key: Signs the requests and the answers; None for no signatures.
    """

    company_key: str = attrs.field(default=COMPANY_KEY, repr=False)
    secret_key: str | None = attrs.field(default=SECRET_KEY, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys that must not be seen anywhere."""
        return (self.company_key, *([] if self.secret_key is None else [self.secret_key]))

    def sandbox(self, now: Callable[[], float] | None = None) -> Sandbox:
        """
        Make the service.

        Args:
            now: Its clock; None for that of the running event loop.
        """
        return Sandbox(self.company_key, self.secret_key, life=_LIFE, now=now)

    def client(self, sandbox: Sandbox) -> IdentomatClient:
        """Make a client that speaks with *sandbox* in process."""
        return IdentomatClient(
            self.company_key,
            secret_key=self.secret_key,
            base_url=sandbox.base_url,
            engine="httpx",
            transport=sandbox.transport,
        )

    def environment(self, base_url: str) -> Mapping[str, str]:
        """Return the variables that `IdentomatClient.from_env` reads, for the API at *base_url*."""
        secret = {} if self.secret_key is None else {"IDENTOMAT_SECRET_KEY": self.secret_key}
        return {
            "IDENTOMAT_COMPANY_KEY": self.company_key,
            **secret,
            "IDENTOMAT_BASE_URL": base_url,
        }
