"""Which process of a distributed training this is, as `torchrun` says in the environment; without it, the only one."""

import os
from dataclasses import dataclass

_TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")


@dataclass(frozen=True)
class Ranks:
    """rank: number of this process in [0, size); local: its number on this machine, and so of its GPU."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes, logs and speaks; the others only compute."""
        return self.rank == 0


def ranks() -> Ranks:
    """Return the ranks that the environment states; a part of what a launcher states is as good as nothing."""
    if any(name not in os.environ for name in _TOLD):
        return Ranks()
    return Ranks(*(int(os.environ[name]) for name in _TOLD[:3]))
