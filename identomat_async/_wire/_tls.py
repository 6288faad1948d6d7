"""How TLS is checked."""

import ssl
from functools import lru_cache
from typing import cast

import certifi  # comes with httpx

from identomat_async.errors import ConfigurationError


@lru_cache(maxsize=1)
def default_ssl_context() -> ssl.SSLContext:
    """Return the one TLS context of this process; making one takes 20 ms."""
    # Not `ssl.create_default_context`, which obeys SSLKEYLOGFILE; nor httpx's, built on it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    return context


def checked_ssl_context(given: object, *, is_here: bool) -> ssl.SSLContext:
    """
    Return *given* if it checks whom it speaks to.

    Args:
        given: What a user brings.
        is_here: The other side can only be on this machine, where nobody listens in.

    Raises:
        ConfigurationError: It is no context, or one that anybody can deceive.
    """
    if not isinstance(given, ssl.SSLContext):
        raise ConfigurationError("ssl_context must be an ssl.SSLContext or None")
    if is_here:
        return given
    if given.verify_mode is not ssl.CERT_REQUIRED or not given.check_hostname:
        raise ConfigurationError(
            "ssl_context must require a certificate and check the name in it "
            "(verify_mode=ssl.CERT_REQUIRED, check_hostname=True); to trust one certificate, "
            "load it with load_verify_locations"
        )
    if given.minimum_version < ssl.TLSVersion.TLSv1_2:
        raise ConfigurationError("ssl_context must have a minimum_version of TLSv1_2 or TLSv1_3")
    if cast("str | None", given.keylog_filename) is not None:
        raise ConfigurationError(
            "ssl_context writes the keys of every connection to a file, as SSLKEYLOGFILE in the "
            "environment has it do: set ssl_context.keylog_filename = None"
        )
    return given
