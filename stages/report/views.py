"""What augmentation makes of training samples: the task's own, applied as training applies it."""

import numpy as np
import torch

from stages.dataset import Array, DataInfo, Split
from stages.report.figure import Gallery, Item
from stages.report.samples import Draw
from stages.task import Task

_SAMPLES, _VIEWS = 4, 3


def augmented(task: Task, split: Split, info: DataInfo, draw: Draw) -> Gallery | None:
    """Return some training samples, each with other views of it; None when the task changes nothing.

    The samples are varied as one batch, so that what mixes samples shows; samples of several shapes each alone.
    """
    rows = np.linspace(0, len(split) - 1, min(_SAMPLES, len(split))).astype(int)
    samples, targets = [split.inputs[row] for row in rows], split.targets[rows]
    uniform = len({sample.shape for sample in samples}) == 1
    generator = torch.Generator().manual_seed(0)
    views = [_views(task, samples, targets, generator, uniform) for _ in range(_VIEWS)]
    if all(np.array_equal(view, raw) for several in views for (view, _), raw in zip(several, samples, strict=True)):
        return None
    items: list[Item] = []
    for place, raw in enumerate(samples):
        items.append(Item(draw(raw, "training sample"), (_name(targets[place], info), "as it is")))
        for view, target in (several[place] for several in views):
            items.append(Item(draw(view, "varied training sample"), (_name(target, info), "varied")))
    caption = "Training samples, each followed by views of it that training sees; every step draws anew."
    return Gallery("Augmentation", caption, tuple(items))


def _views(
    task: Task, samples: list[Array], targets: Array, generator: torch.Generator, uniform: bool
) -> list[tuple[Array, Array]]:
    """Return one view of each sample, with its target."""
    places = [list(range(len(samples)))] if uniform else [[place] for place in range(len(samples))]
    found: list[tuple[Array, Array]] = []
    for group in places:
        batch = torch.from_numpy(np.stack([samples[place] for place in group]))
        views, varied = task.augment(batch, torch.from_numpy(targets[group]), generator)
        found += zip(views.numpy(), varied.numpy(), strict=True)
    return found


def _name(target: Array, info: DataInfo) -> str:
    """Return the label of a target that is a class (of the data's), or the labels of which it is shares."""
    if not info.labels or np.ndim(target) > 1 or (np.ndim(target) == 0 and target >= len(info.labels)):
        return ""
    if np.ndim(target) == 0:
        return info.labels[int(target)]
    largest = np.argsort(-target, kind="stable")[:2]
    return ", ".join(f"{target[i]:.0%} {info.labels[i]}" for i in largest if target[i] > 0)
