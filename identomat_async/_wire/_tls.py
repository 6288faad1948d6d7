"""How TLS is checked unless somebody brings a context of their own."""

import ssl
from functools import lru_cache

import certifi  # comes with httpx


@lru_cache(maxsize=1)
def default_ssl_context() -> ssl.SSLContext:
    """Return the one TLS context of this process; making one takes 20 ms."""
    # Not `ssl.create_default_context`, which obeys SSLKEYLOGFILE; nor httpx's, built on it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    return context
