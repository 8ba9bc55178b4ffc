"""The losses of an epoch, read from the device now and then, and the end of a training that is not finite."""

import math

import torch
from torch import nn

from stages.errors import TrainingError
from stages.train.batches import Order

_REMEDY = "lower train.lr, set train.clip_norm=1, or look at these rows (fp16 overflows where bf16 does not)"


class Losses:
    """Sum of the losses of an epoch so far; every loss is checked, `window` at a time to spare the device a wait."""

    def __init__(self, window: int, order: Order) -> None:
        self.total, self.rows = 0.0, 0
        self.window, self.order = window, order
        self._waiting: list[tuple[int, int, torch.Tensor]] = []

    def add(self, step: int, rows: int, loss: torch.Tensor) -> None:
        """Take in the mean loss of a batch of `rows`."""
        self._waiting.append((step, rows, loss.detach()))
        if len(self._waiting) >= self.window:
            self.flush()

    def flush(self) -> None:
        """Read the waiting losses; raise `TrainingError` naming the first that is not finite."""
        if not self._waiting:
            return
        values = torch.stack([loss for _, _, loss in self._waiting]).tolist()
        for (step, rows, _), value in zip(self._waiting, values, strict=True):
            if not math.isfinite(value):
                raise TrainingError(f"loss is {value} at {_place(self.order, step)}; {_REMEDY}")
            self.total += value * rows
            self.rows += rows
        self._waiting = []

    @property
    def mean(self) -> float:
        """Mean over the rows read so far."""
        return self.total / max(self.rows, 1)


@torch.no_grad()
def require_finite(model: nn.Module, steps: int, order: Order) -> None:
    """Raise `TrainingError` when a weight is not finite after `steps`: the loss was, but its gradient was not."""
    named = list(model.named_parameters())
    largest = torch.stack(torch._foreach_norm([tensor for _, tensor in named], math.inf)).tolist()
    for (name, _), value in zip(named, largest, strict=True):
        if not math.isfinite(value):
            raise TrainingError(f"weights {name!r} are not finite after {_place(order, steps - 1)}; {_REMEDY}")


def _place(order: Order, step: int) -> str:
    return f"epoch {step // order.steps + 1}, step {step + 1}, training rows {order.named(step)}"
