"""Sign-gradient ascent of an objective over inputs: the method of adversarial examples, with steps that adapt."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch

from deploy.bundle import TensorSpec
from stages.dataset import Array
from stages.verify.hunt.found import by_row, chosen, settle
from stages.verify.reference import Feeds

Objective = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]  # inputs by name -> (N,)
Limits = Mapping[str, tuple[float, float]]


def ascend(
    objective: Objective,
    start: Feeds,
    specs: Sequence[TensorSpec],
    free: Sequence[str],
    limits: Limits,
    steps: Iterable[int],
) -> tuple[Feeds, Array, Array, int]:
    """Return (rows, scores of the start, scores reached, steps taken); no row's score ever falls.

    Each step moves all free values of a row along the sign of their gradient, by a part of their range: all of it at
    first, half as far after a failure. Scores are those of inputs as they can be fed (whole numbers where the input
    takes whole numbers). Goodfellow et al., "Explaining and Harnessing Adversarial Examples" (2014), section 4.
    """
    moving = [spec for spec in specs if spec.name in free]
    best = start
    reached, slopes = _slopes(objective, best, moving)
    before, reach, taken = reached, np.ones(len(reached)), 0
    for _ in steps:
        trial = dict(best)
        for spec in moving:
            low, high = limits[spec.name]
            move = by_row(reach * (high - low), slopes[spec.name]) * np.sign(slopes[spec.name])
            trial[spec.name] = settle(best[spec.name] + move, spec, low, high)
        scores, trial_slopes = _slopes(objective, trial, moving)
        better = scores > reached
        best, slopes = chosen(better, trial, best), chosen(better, trial_slopes, slopes)
        reached = np.where(better, scores, reached)
        reach = np.where(better, reach, reach / 2)
        taken += 1
    return best, before, reached, taken


def as_tensors(feeds: Feeds) -> dict[str, torch.Tensor]:
    """Return arrays as tensors, real numbers as float32."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in feeds.items()}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _slopes(objective: Objective, feeds: Feeds, moving: Sequence[TensorSpec]) -> tuple[Array, Feeds]:
    """Return the scores (N,) and their gradients by input; a gradient that is not finite counts as 0."""
    tensors = as_tensors(feeds)
    leaves = [tensors[spec.name].to(torch.float32).requires_grad_() for spec in moving]
    tensors.update({spec.name: leaf for spec, leaf in zip(moving, leaves, strict=True)})
    scores = objective(tensors)
    gradients = torch.autograd.grad(scores.sum(), leaves, allow_unused=True)
    slopes = {
        spec.name: np.zeros(leaf.shape) if gradient is None else np.nan_to_num(gradient.numpy())
        for spec, leaf, gradient in zip(moving, leaves, gradients, strict=True)
    }
    return scores.detach().numpy(), slopes
