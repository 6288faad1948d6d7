"""
The poller over many machines, on Docket and a Redis or Valkey server.

Docket keeps the timers, the leases and the one key per session; ours are what an answer
means, a rate that all machines share, and that no result ever travels through Redis. A
session is one task whose key is a hash of the token: each look is one run of it, which
carries what is known to the next. Needs the extra ``[docket]``.
"""

try:
    from identomat_async.contrib.docket._poller import DocketResultPoller
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        f"many machines need {_missing.name}: pip install 'identomat-async[docket]'",
        name=_missing.name,
    ) from _missing

__all__ = ["DocketResultPoller"]
