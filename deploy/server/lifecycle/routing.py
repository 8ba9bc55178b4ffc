"""Which of several versions answers a request that names none."""

from collections.abc import Sequence
from contextlib import suppress

from deploy.errors import UsageError


class Share:
    """A share of a model's requests, from 0 to 1, and how much of it is still owed.

    It belongs to a place, not to the version that fills it: after a swap the count goes on.
    """

    def __init__(self, weight: float) -> None:
        if not 0 <= weight <= 1:
            raise UsageError(f"share {weight}: expected a number from 0 to 1")
        self.weight = weight
        self._owed = 0.0

    def take(self) -> bool:
        """Return whether this share, alone beside the rest, gets the next request."""
        return choose([self]) is self


def choose(shares: Sequence[Share]) -> Share | None:
    """Return whose turn it is; None stands for the rest, which has what is left of 1.

    Everybody is owed its weight of each request, and whoever is owed most gets it: smooth weighted round robin as nginx
    does it. Nothing is drawn by chance. With one share, of any n requests in a row it gets n * weight, give or take
    less than one.
    """
    rest = 1.0
    chosen, most = None, -1.0
    for share in shares:
        share._owed += share.weight
        rest -= share._owed
        if share._owed > most:
            chosen, most = share, share._owed
    if chosen is None or rest >= most:
        return None
    chosen._owed -= 1.0
    return chosen


def read_share(text: str, option: str) -> tuple[str, float]:
    """Read what an option says: where a version lies, and the share of requests that it gets; `UsageError`."""
    where, _, weight = text.rpartition("=")
    with suppress(ValueError):
        if where and 0 <= float(weight) <= 1:
            return where, float(weight)
    raise UsageError(f"{option} {text!r}: expected a folder, '=' and a share from 0 to 1, like lenet-2=0.1")
