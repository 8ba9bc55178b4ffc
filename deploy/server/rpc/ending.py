"""How the service ends: what is being computed is answered, what comes is refused, until nothing comes any more.

Calls that grpcio has not handed over when its server stops end as CANCELLED, which no client tries again elsewhere. So
they are taken over first and refused as UNAVAILABLE, for which clients have such policies.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from deploy.errors import NotReadyError

QUIET_S = 0.05
LONGEST_S = 1.0
"""The service ends when nothing came for the one, or after the other."""


class Ending:
    """Whether the end has begun, and what comes after that."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._refused = 0

    def require_open(self) -> None:
        """Raise `NotReadyError` once the end has begun."""
        if self.begun.is_set():
            self._refused += 1
            raise self.error()

    @staticmethod
    def error() -> NotReadyError:
        """Return what clients are told."""
        return NotReadyError("the server is shutting down; ask another one")

    async def until(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the requests of a stream until the end begins: who sends nothing more is not waited for."""
        begun, iterator = asyncio.ensure_future(self.begun.wait()), aiter(requests)
        try:
            while not begun.done():
                following = asyncio.ensure_future(anext(iterator))
                await asyncio.wait((following, begun), return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    return
                try:
                    request = following.result()
                except StopAsyncIteration:
                    return
                yield request
        finally:
            begun.cancel()

    async def begin(self) -> None:
        """Refuse what comes from now on, and return when nothing does any more."""
        self.begun.set()
        loop, before = asyncio.get_running_loop(), -1
        latest = loop.time() + LONGEST_S
        while before != self._refused and loop.time() < latest:
            before = self._refused
            await asyncio.sleep(QUIET_S)
