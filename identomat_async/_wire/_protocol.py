"""What a request looks like: operations, addresses, encodings. No I/O."""

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Literal, TypeGuard, get_args
from urllib.parse import quote, urlencode, urlsplit

import attrs

from identomat_async._wire._secret import Secret
from identomat_async._wire._signing import authorization, code_for_body
from identomat_async.errors import ConfigurationError

Encoding = Literal["json", "form", "query"]

DEFAULT_BASE_URL = "https://widget.identomat.com/external-api/"
JSON_CAP = 4 * 1024 * 1024
MEDIA_CAP = 64 * 1024 * 1024

_PRINTABLE = re.compile(r"[\x21-\x7e]{1,512}", re.ASCII)
# The last label of a name is no number: that would be an address, and is read as one.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\.?$){_LABEL}\.?", re.ASCII)
_METHOD = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*/?", re.ASCII)

# One for all, since `json.dumps` makes another each time.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

_MUST_BE_PLAIN = (
    "{} must be 1 to 512 printable ASCII characters without spaces: check for a line end or "
    "a quote that came with it"
)


@attrs.frozen(kw_only=True)
class Operation:
    """
    One method of the API, and how it is treated.

    Attributes:
        name: As it stands in errors and events.
        path: Below the base URL.
        deadline: Seconds that one call may take unless the caller says otherwise.
        repeatable: Whether a repeat does no harm when an earlier try may have worked.
        urgent: Whether it goes before polls in the queue for the rate.
        extra_attempts: Tries beyond the retry policy's own number.
        is_media: Whether a good reply is bytes instead of JSON.
    """

    name: str
    path: str
    deadline: float = 30.0
    repeatable: bool = True
    urgent: bool = False
    extra_attempts: int = 0
    is_media: bool = False

    @property
    def cap(self) -> int:
        """The most bytes that a body may have."""
        return MEDIA_CAP if self.is_media else JSON_CAP


BEGIN = Operation(name="begin", path="begin/", repeatable=False, urgent=True)
RESULT = Operation(name="result", path="result/")
DELETE = Operation(name="delete", path="delete/", deadline=60.0, extra_attempts=2, urgent=True)
SCREENING = Operation(name="get-screening-person-details", path="get-screening-person-details/")


def media_operation(media: str) -> Operation:
    """Return the operation that reads *media* (``card-front``, ``face-video``, ...)."""
    return Operation(name="media", path=f"result/{media}/", deadline=300.0, is_media=True)


def other_operation(method: str) -> Operation:
    """
    Return the operation for a method that this version does not know.

    It is treated like `begin`: never repeated once it may have been processed.

    Raises:
        ConfigurationError: *method* is not a relative path of plain words.
    """
    if not isinstance(method, str) or not _METHOD.fullmatch(method):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError(
            'a method is a relative path of letters, digits, "-" and "_", such as "some/method/"'
        )
    return Operation(name="call", path=f"{method.rstrip('/')}/", repeatable=False)


# Not frozen: one is made at every look, and that would take twice as long.
@attrs.define(kw_only=True)
class WireRequest:
    """A request, ready to be sent. Its repr shows nothing that is secret."""

    method: str
    url: str = attrs.field(repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Endpoint:
    """
    Where requests go, as whom, and in which of the vendor's three ways.

    Raises:
        ConfigurationError: See `checked_base_url`, `checked_text`; or *encoding* is
            unknown, or cannot be signed.
    """

    company_key: Secret
    secret_key: Secret | None = None
    base_url: str = attrs.field(default=DEFAULT_BASE_URL)
    encoding: Encoding = "json"
    _asking: Secret = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        _check_key(self.company_key, name="company_key")
        if self.secret_key is not None:
            _check_key(self.secret_key, name="secret_key")
        if self.encoding not in get_args(Encoding):
            raise ConfigurationError('encoding must be "json", "form" or "query"')
        if self.secret_key is not None and self.encoding != "json":
            raise ConfigurationError(
                'with a secret_key requests are signed, and only encoding="json" is '
                "defined for signed requests: leave encoding out"
            )
        # The question for a result, up to the token.
        asked = to_json({"company_key": self.company_key.reveal(), "session_token": ""})
        object.__setattr__(self, "_asking", Secret(asked.decode().removesuffix('"}')))

    @property
    def is_signed(self) -> bool:
        """Whether requests and successful answers carry a signature."""
        return self.secret_key is not None

    @property
    def is_here(self) -> bool:
        """Whether the service can only be on this machine."""
        return is_loopback(urlsplit(self.base_url).hostname or "")

    def look(self, token: str) -> WireRequest:
        """Build the request for the result of *token*, which has been checked: quickly."""
        if self.encoding != "json" or self.secret_key is not None:
            return self.request(RESULT, {"session_token": token})
        # Nothing in a token has to be escaped.
        body = f'{self._asking.reveal()}{token}"}}'.encode()
        return _post(self.base_url + RESULT.path, "application/json", body)

    def request(self, operation: Operation, params: Mapping[str, object]) -> WireRequest:
        """
        Build the request for *operation*.

        Args:
            operation: What is asked.
            params: The method's own parameters; the company key is added here.

        Raises:
            ConfigurationError: A parameter cannot be said in JSON, or is the company key.
        """
        if "company_key" in params:
            raise ConfigurationError("company_key is added to every call: leave it out of params")
        everything = {"company_key": self.company_key.reveal(), **params}
        url = self.base_url + operation.path
        if self.encoding == "query":
            url = f"{url}?{_urlencoded(everything)}"
            return WireRequest(method="GET", url=url, headers=(), body=b"")
        if self.encoding == "form":
            return _post(url, "application/x-www-form-urlencoded", _urlencoded(everything).encode())
        request = _post(url, "application/json", to_json(everything))
        return request if self.secret_key is None else _signed(request, self.secret_key)


def _post(url: str, content_type: str, body: bytes) -> WireRequest:
    headers = (("Content-Type", content_type),)
    return WireRequest(method="POST", url=url, headers=headers, body=body)


def _signed(request: WireRequest, secret: Secret) -> WireRequest:
    code = code_for_body(secret.reveal().encode(), request.body)
    header = ("Authorization", authorization(code))
    return attrs.evolve(request, headers=(*request.headers, header))


def to_json(value: object) -> bytes:
    """
    Return *value* as compact JSON in UTF-8.

    Raises:
        ConfigurationError: It holds something that JSON cannot say.
    """
    try:
        return _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError):
        pass
    raise ConfigurationError("a parameter holds something that JSON cannot say")


def _urlencoded(params: Mapping[str, object]) -> str:
    # What is not text goes as JSON text inside its field, as the vendor's samples do.
    texts = {
        name: value if isinstance(value, str) else to_json(value).decode()
        for name, value in params.items()
    }
    return urlencode(texts)


def checked_text(value: object, *, name: str) -> str:
    """
    Return *value* if it is 1 to 512 printable ASCII characters without space.

    Raises:
        ConfigurationError: It is not; the value is not repeated.
    """
    if not is_plain_text(value):
        raise ConfigurationError(_MUST_BE_PLAIN.format(name))
    return value


def is_plain_text(value: object) -> TypeGuard[str]:
    """Tell whether *value* is 1 to 512 printable ASCII characters without space."""
    return isinstance(value, str) and _PRINTABLE.fullmatch(value) is not None


def _check_key(key: Secret, *, name: str) -> None:
    # Revealed in a frame that is gone before anything is raised.
    if not is_plain_text(key.reveal()):
        raise ConfigurationError(_MUST_BE_PLAIN.format(name))


def checked_base_url(url: str, *, name: str = "base_url") -> str:
    """
    Return *url* with exactly one slash at its end.

    Raises:
        ConfigurationError: It is not https (http goes for loopback only), or carries
            credentials, a query or a fragment, or no host.
    """
    checked_text(url, name=name)
    if "@" in url or "?" in url or "#" in url:
        raise ConfigurationError(f"{name} must have no user, password, query or fragment")
    scheme, host, origin = _parts(url)
    if not _is_host(host) or scheme not in {"https", "http"}:
        raise ConfigurationError(f"{name} must be a URL that begins with https:// and names a host")
    path = urlsplit(url).path
    if {".", ".."} & set(path.split("/")):
        raise ConfigurationError(f"{name} must name its path without . and ..")
    if scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            f"{name} must be https: http would send the company key in the clear, and is "
            "accepted for this machine only (localhost, 127.0.0.1, [::1])"
        )
    return f"{origin}{path.rstrip('/')}/"


def _parts(url: str) -> tuple[str, str, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "", "", ""
    shown = f"[{host}]" if ":" in host else host
    shown = shown if port is None else f"{shown}:{port}"
    # What is left over of it was understood by nobody.
    host = host if shown == parts.netloc.lower() else ""
    return parts.scheme, host, f"{parts.scheme}://{shown}"


def _is_host(host: str) -> bool:
    return _is_address(host) or _NAME.fullmatch(host) is not None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether *host* can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(base_url: str) -> str:
    """Return scheme, host and port of *base_url*, without a slash at the end."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"


def widget_url(origin: str, token: str) -> str:
    """Return the page to which the person is sent."""
    return f"{origin}/?session_token={quote(token, safe='')}"
