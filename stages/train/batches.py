"""Batches of raw samples on the device: from one tensor that lives there, or streamed by worker processes.

The order is a function of (seed, epoch) and augmentation one of (seed, step), so that a run can go on at any step.
"""

import copy
import hashlib
import os
import signal
from collections.abc import Iterator, Sized
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from deploy.errors import OnnxwayError
from stages.dataset import Array, Split
from stages.errors import DataError, TrainingError
from stages.observer import Observer
from stages.ranks import Ranks
from stages.recipe import TrainConfig

Batch = tuple[torch.Tensor, torch.Tensor]


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """Return a seed for one epoch's order, or one step's augmentation, unrelated to all others."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Order:
    """Which rows each batch of an epoch has; the last batch may be smaller.

    In a distributed training all processes draw the same batches, and each takes its part of every one.
    """

    def __init__(self, config: TrainConfig, rows: int, ranks: Ranks = Ranks()) -> None:  # noqa: B008
        self.rows, self.batch_size, self.ranks = rows, config.batch_size, ranks
        self.shuffle, self.seed = config.shuffle, config.seed
        self.steps = -(-rows // config.batch_size)

    def epoch(self, epoch: int) -> torch.Tensor:
        """Return all row numbers of an epoch, in order, on the CPU."""
        if not self.shuffle:
            return torch.arange(self.rows)
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "order", epoch))
        return torch.randperm(self.rows, generator=generator)

    def batches(self, epoch: int) -> list[torch.Tensor]:
        """Return this process's rows of each batch of an epoch; where none is left for it, one that counts nothing."""
        whole = torch.split(self.epoch(epoch), self.batch_size)
        if self.ranks.size == 1:
            return list(whole)
        parts = (rows.tensor_split(self.ranks.size)[self.ranks.rank] for rows in whole)
        return [part if len(part) else rows[:1] for part, rows in zip(parts, whole, strict=True)]

    def share(self, step: int) -> float:
        """Return what this process's rows of a step count for, so that the mean over processes is that over rows."""
        start = step % self.steps * self.batch_size
        size = min(self.batch_size, self.rows - start)
        mine = size // self.ranks.size + (self.ranks.rank < size % self.ranks.size)
        return mine * self.ranks.size / size

    def named(self, step: int) -> str:
        """Return the first row numbers of one step, counted over all epochs, in words for an error."""
        start = step % self.steps * self.batch_size
        rows = self.epoch(step // self.steps)[start : start + self.batch_size].tolist()
        return ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")


class Batches(Protocol):
    """A source of batches."""

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the raw inputs and targets of an epoch's batches, without the first `skip`."""


class Resident:
    """All samples in one tensor on the device; a batch is an index, nothing is done sample by sample."""

    def __init__(self, inputs: torch.Tensor, targets: torch.Tensor, order: Order) -> None:
        self.inputs, self.targets, self.order = inputs, targets, order

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the raw inputs and targets of an epoch's batches, without the first `skip`."""
        if not self.order.shuffle and self.order.ranks.size == 1:  # no copy at all
            size = self.order.batch_size
            yield from zip(torch.split(self.inputs, size)[skip:], torch.split(self.targets, size)[skip:], strict=True)
            return
        parts = self.order.batches(epoch)
        whole = torch.cat(parts).to(self.inputs.device)  # one copy an epoch
        for rows in torch.split(whole, [len(part) for part in parts])[skip:]:
            yield self.inputs.index_select(0, rows), self.targets.index_select(0, rows)


class Streamed:
    """Samples decoded and resized by worker processes, copied to the device while it computes."""

    def __init__(self, samples: "Samples", order: Order, workers: int, device: torch.device) -> None:
        self.samples, self.order, self.device = samples, order, device
        self.workers = min(workers, _usable_cores())

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the raw inputs and targets of an epoch's batches, without the first `skip`."""
        return self._load(self.order.batches(epoch)[skip:])

    def in_file_order(self) -> Iterator[Batch]:
        """Yield all samples once, on the device."""
        return self._load(list(torch.split(torch.arange(self.order.rows), 64)))

    def _load(self, batches: list[torch.Tensor]) -> Iterator[Batch]:
        loader = DataLoader(
            self.samples,
            batch_sampler=[rows.tolist() for rows in batches],
            num_workers=self.workers,
            worker_init_fn=_leave_signals_to_the_parent,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # its own: the global one belongs to dropout
        )
        try:
            for inputs, targets in loader:
                yield inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)
        except OnnxwayError as error:  # from a worker it comes with its whole traceback as its message
            raise DataError(str(error).strip().rpartition("\n")[2].partition("Error: ")[2] or str(error)) from None


class Samples(Dataset[Batch]):
    """A split by row: decoded and, where the input has a size of its own, `resized` to that, in the raw form."""

    def __init__(self, split: Split, pre: nn.Module) -> None:
        self.inputs, self.targets = split.inputs, _tensor(split.targets)
        self.pre = copy.deepcopy(pre).cpu()
        self.resizes = bool(getattr(pre, "own", {}))
        if not self.resizes and not isinstance(split.inputs, np.ndarray):
            raise TrainingError(
                f"the samples have several shapes and input {type(pre).__name__} has no `resize` to bring them to one; "
                "use an input that has, or bring them to one shape in the data source"
            )

    def __len__(self) -> int:
        return len(cast(Sized, self.targets))

    @torch.no_grad()
    def __getitem__(self, row: int) -> Batch:
        sample = _tensor(self.inputs[row])
        if self.resizes:
            sample = cast(Any, self.pre).resized(sample[None])[0]
        return sample, self.targets[row]


def load(
    split: Split, pre: nn.Module, config: TrainConfig, order: Order, device: torch.device, observer: Observer
) -> Batches:
    """Return the batches of a split in the fastest form that fits into `config.memory_mb`."""
    limit = config.memory_mb * 2**20
    if isinstance(split.inputs, np.ndarray) and split.inputs.nbytes <= limit:
        return Resident(_tensor(split.inputs).to(device), _tensor(split.targets).to(device), order)
    samples = Samples(split, pre)
    streamed = Streamed(samples, order, config.workers, device)
    if samples.resizes and len(split) * samples[0][0].nbytes <= limit:
        observer.say(f"resizing {len(split):,} training samples once, into memory")
        return _collected(streamed, order)
    observer.say(f"streaming {len(split):,} training samples: more than train.memory_mb={config.memory_mb} holds")
    return streamed


def _collected(streamed: Streamed, order: Order) -> Resident:
    targets = streamed.samples.targets.to(streamed.device)
    first, _ = streamed.samples[0]
    inputs = torch.empty(order.rows, *first.shape, dtype=first.dtype, device=streamed.device)
    done = 0
    for batch, _ in streamed.in_file_order():
        inputs[done : done + len(batch)] = batch
        done += len(batch)
    return Resident(inputs, targets, order)


def _tensor(array: Array) -> torch.Tensor:
    """Share the array's memory; a read-only one is copied, which torch would warn about."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave_signals_to_the_parent(_worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; only the parent knows what to do with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
