"""Which proxies there are, and that their passwords show nowhere."""

import re
from importlib.util import find_spec
from urllib.parse import urlsplit

import attrs

from identomat_async._wire._protocol import is_loopback
from identomat_async._wire._secret import Secret
from identomat_async.errors import ConfigurationError

_PRINTABLE = re.compile(r"[\x21-\x7e]{1,2048}", re.ASCII)
_WHOLE = (
    "proxy must be a URL such as http://user:password@proxy.example:3128, without path, query "
    "or fragment; what is special in user or password is percent-encoded"
)


@attrs.frozen(kw_only=True)
class Proxy:
    """
    A proxy that somebody asked for by name.

    Attributes:
        url: Its URL, with user and password if there are any.
        scheme: How it is spoken to: ``http``, ``https``, ``socks5`` or ``socks5h``.
        is_here: Whether it can only be on this machine.
    """

    url: Secret
    scheme: str
    is_here: bool

    @property
    def is_tls(self) -> bool:
        """Whether the way to the proxy is encrypted."""
        return self.scheme == "https"


def checked_proxy(url: Secret) -> Proxy:
    """
    Return what *url* stands for.

    Raises:
        ConfigurationError: It is no URL of a proxy, or of a kind that needs a package which
            is not installed. The URL is not repeated.
    """
    scheme, host = _scheme_and_host(url)
    if not host:
        raise ConfigurationError(_WHOLE)
    if scheme not in {"http", "https", "socks5", "socks5h"}:
        raise ConfigurationError("proxy must begin with http://, https://, socks5:// or socks5h://")
    if scheme.startswith("socks5") and find_spec("socksio") is None:
        raise ConfigurationError("a socks5 proxy needs a package: pip install socksio")
    return Proxy(url=url, scheme=scheme, is_here=is_loopback(host))


def _scheme_and_host(secret: Secret) -> tuple[str, str]:
    # Revealed in a frame that is gone before anything is raised.
    url = secret.reveal()
    if not isinstance(url, str) or not _PRINTABLE.fullmatch(url):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        return "", ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # reading the port checks it
    except ValueError:
        return "", ""
    is_whole = parts.path in {"", "/"} and not parts.query and not parts.fragment
    return parts.scheme, (host or "") if is_whole else ""
