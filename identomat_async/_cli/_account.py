"""As whom and where to: the options that every command with a client has."""

import os
import ssl
from pathlib import Path
from typing import Annotated, TypeAlias

import attrs
import typer

from identomat_async import IdentomatClient
from identomat_async._wire._protocol import DEFAULT_BASE_URL
from identomat_async._wire._setup import secret_of_environment
from identomat_async.errors import ConfigurationError

KEY = "IDENTOMAT_COMPANY_KEY"
SECRET = "IDENTOMAT_SECRET_KEY"  # noqa: S105  # the name of a variable
BASE_URL = "IDENTOMAT_BASE_URL"

_PANEL = "Account"
# No option takes a key itself: arguments are shown to everybody on the machine.
KeyFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help=f"A file with the company key, instead of {KEY}.",
        rich_help_panel=_PANEL,
    ),
]
SecretFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help=f"A file with the secret key, instead of {SECRET}.",
        rich_help_panel=_PANEL,
    ),
]
BaseUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(help=f"Where the API is, instead of {BASE_URL}.", rich_help_panel=_PANEL),
]
CaFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Certificates to trust (PEM), instead of the usual ones.",
        rich_help_panel=_PANEL,
    ),
]


@attrs.frozen(kw_only=True)
class Account:
    """
    As whom to go where, in the words of the command line; None: ask the environment.

    Attributes:
        key_file: The file with the company key.
        secret_file: The file with the secret key.
        base_url: Where the API is.
        ca_file: Certificates to trust.
    """

    key_file: Path | None = None
    secret_file: Path | None = None
    base_url: str | None = None
    ca_file: Path | None = None

    @property
    def address(self) -> str:
        """Where the API is."""
        return self.base_url or os.environ.get(BASE_URL) or DEFAULT_BASE_URL

    @property
    def is_signed(self) -> bool:
        """Whether there is a secret key."""
        return self.secret_file is not None or bool(os.environ.get(SECRET))

    def trust(self) -> ssl.SSLContext | None:
        """
        Return what to trust, None for the usual.

        Raises:
            ConfigurationError: The file holds no certificates.
        """
        if self.ca_file is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(self.ca_file)
        except ssl.SSLError:
            raise ConfigurationError(f"{self.ca_file} holds no certificate in PEM") from None
        return context

    def client(self, *, rate: float | None = None, timeout: float = 15.0) -> IdentomatClient:
        """
        Make the client.

        Args:
            rate: The most requests per second, None for no ceiling.
            timeout: Seconds for one request.

        Raises:
            ConfigurationError: The key is missing, or something cannot work.
        """
        return IdentomatClient(
            text_of(self.key_file) or os.environ.get(KEY) or _missing(),
            secret_key=text_of(self.secret_file) or secret_of_environment(),
            base_url=self.address,
            ssl_context=self.trust(),
            rate=rate,
            timeout=timeout,
        )


def text_of(file: Path | None) -> str | None:
    """
    Return the key in a file, None without a file.

    Raises:
        ConfigurationError: It holds none; what it holds is not repeated.
    """
    if file is None:
        return None
    try:
        text = file.read_text().strip()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise ConfigurationError(f"{file} holds no key")
    return text


def _missing() -> str:
    raise ConfigurationError(
        f"there is no company key: set {KEY}, or give --key-file; `identomat sandbox` starts"
        " a local Identomat that takes any"
    )
