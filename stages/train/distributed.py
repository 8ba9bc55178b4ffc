"""The processes of one training, started by `torchrun`: what they share, and what they do when one of them ends."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from stages.errors import TrainingError
from stages.ranks import Ranks

_PATIENCE = timedelta(minutes=30)  # for what one process does alone: resizing a folder of pictures, say


class Group:
    """All processes of a training; alone, everything stays as it is."""

    def __init__(self, ranks: Ranks = Ranks()) -> None:  # noqa: B008
        self.ranks = ranks

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.ranks.size == 1

    def parallel(self, module: nn.Module, place: torch.device) -> nn.Module:
        """Return the module with gradients averaged over all processes, and weights as the first process has them."""
        if self.alone:
            return module
        devices = [place.index] if place.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=devices)

    def share_statistics(self, module: nn.Module, place: torch.device) -> None:
        """Let the batch norms inside a module see all processes' rows; on the CPU torch has no such layer."""
        if not self.alone and place.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]

    def sums(self, *values: float) -> list[float]:
        """Return each value, added up over all processes."""
        total = torch.tensor(values, dtype=torch.float64)
        if not self.alone:
            dist.all_reduce(total)
        return total.tolist()

    def first(self, values: list[float]) -> list[float]:
        """Return what the first process has here."""
        told = torch.tensor(values, dtype=torch.float64)
        if not self.alone:
            dist.broadcast(told, src=0)
        return told.tolist()

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the first one's buffers: batch statistics, which each made from its own rows."""
        if not self.alone:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    def rows(self, count: int) -> slice:
        """Return which of `count` rows this process takes when they are shared out; all, where some would get none."""
        if count < self.ranks.size:
            return slice(0, count)
        return self._part(count, self.ranks.rank)

    def gathered(self, mine: torch.Tensor, count: int) -> torch.Tensor:
        """Return all `count` rows in order from each process's `rows(count)`; on the CPU."""
        if self.alone or count < self.ranks.size:
            return mine
        parts = [self._part(count, rank) for rank in range(self.ranks.size)]
        padded = mine.new_zeros(max(part.stop - part.start for part in parts), *mine.shape[1:])
        padded[: len(mine)] = mine
        received = [torch.empty_like(padded) for _ in parts]
        dist.all_gather(received, padded)
        return torch.cat([rows[: part.stop - part.start] for rows, part in zip(received, parts, strict=True)])

    def _part(self, count: int, rank: int) -> slice:
        return slice(count * rank // self.ranks.size, count * (rank + 1) // self.ranks.size)

    def require_same_start(self, step: int, folder: Path) -> None:
        """Raise `TrainingError` when the processes do not see the same checkpoint."""
        total = self.sums(float(step))[0]
        if total != step * self.ranks.size or step != self.first([step])[0]:
            raise TrainingError(
                f"{folder}: process {self.ranks.rank} found the checkpoint of step {step}, others found another one; "
                "put the run folder where all machines see it, or start over with --force"
            )


@contextmanager
def joined(ranks: Ranks, place: torch.device) -> Iterator[Group]:
    """Meet the other processes, and leave them at the end of the block.

    When one of them ends early, the others hear of it at their next exchange and raise `TrainingError`.
    """
    if ranks.size == 1:
        yield Group()
        return
    device = place if place.type == "cuda" else None
    # Small things (losses, rows of answers) go by the CPU, gradients by the device.
    backend = "cpu:gloo,cuda:nccl" if device else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE, device_id=device)
    try:
        with warnings.catch_warnings():
            # A convolution of one channel has the same memory by two names of its strides.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            yield Group(ranks)
    except dist.DistError as error:
        raise _ended(ranks, error) from None
    except RuntimeError as error:
        if _is_of_an_exchange(error):
            raise _ended(ranks, error) from None
        raise
    finally:
        dist.destroy_process_group()


def _is_of_an_exchange(error: RuntimeError) -> bool:
    """Tell whether gloo raised it: torch gives its failures no class of their own."""
    return "gloo" in str(error) or "onnection" in str(error)


def _ended(ranks: Ranks, error: RuntimeError) -> TrainingError:
    reason = re.sub(r"^\[.*?\] ", "", str(error)).partition("\n")[0].partition(". ")[0]  # without the source's line
    return TrainingError(
        f"process {ranks.rank} of {ranks.size} lost another one ({reason}); that one says why it ended; "
        "run the same command to go on from the last checkpoint"
    )
