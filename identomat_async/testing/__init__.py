"""
What a test of your own code needs: a service, a clock and guards, none of them real.

The fixtures are found by pytest itself, and this package is imported when a test asks for
one of them. Nothing in it is needed to use it without pytest. Needs the extra
``[sandbox]``.
"""

from identomat_async.testing._account import COMPANY_KEY, SECRET_KEY, Account
from identomat_async.testing._clock import Advanced, Jumping, VirtualClock
from identomat_async.testing._journal import JournalConformance
from identomat_async.testing._journal_ground import MakeJournal
from identomat_async.testing._leaks import LeakGuard
from identomat_async.testing._network import NetworkGuard

__all__ = [
    "COMPANY_KEY",
    "SECRET_KEY",
    "Account",
    "Advanced",
    "JournalConformance",
    "Jumping",
    "LeakGuard",
    "MakeJournal",
    "NetworkGuard",
    "VirtualClock",
]
