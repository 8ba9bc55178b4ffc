"""What masks on the test split look like, for the report."""

from collections.abc import Iterator

import numpy as np

from deploy.outputs.veil import veiled
from stages.dataset import UNKNOWN, Array
from stages.report import confusion
from stages.report.answers import Answers
from stages.report.figure import Figure, Gallery, Item, Part, Table
from stages.report.pixels import img, stretched
from stages.tasks.segment import overlap

_SHOWN = 8
_PLAIN = 0  # the class that is not coloured in drawings
_MISTAKE = np.array([230, 30, 30])


def figures(answers: Answers) -> Iterator[Part]:
    """Yield figures by class, masks from the worst to the best, and which classes are taken for which."""
    labels, targets, decided = answers.dataset.info.labels, answers.dataset.test.targets, answers.outputs["class_index"]
    counts = overlap.matrix(targets, decided, len(labels))
    yield _by_class(counts, labels)
    yield _gallery(targets, decided, answers)
    if len(labels) > 2:
        caption = (
            f"{int(np.trace(counts)):,} of {int(counts.sum()):,} places on the diagonal; mistakes are coloured by "
            "their number."
        )
        yield Figure("Confusion matrix", caption, confusion.drawing(counts, labels))


def _by_class(counts: Array, labels: tuple[str, ...]) -> Table:
    """Return overlap measures of each class, over the places of all test samples at once."""
    right, true, found = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    columns = (overlap.dice(counts), overlap.iou(counts), overlap.ratio(right, found), overlap.ratio(right, true))
    shares = true / max(1, true.sum())
    rows = [
        (label, *(_number(column[index]) for column in columns), f"{shares[index]:.1%}")
        for index, label in enumerate(labels)
    ]
    caption = (
        "Dice: twice the places that truth and answer share, by the sum of both; IoU: those by the places of either. "
        "Precision: how many of those found are right; recall: how many of those there were found."
    )
    head = ("class", "Dice", "IoU", "precision", "recall", "of all places")
    return Table("Class by class", caption, head, tuple(rows), numbers=True)


def _gallery(targets: Array, decided: Array, answers: Answers) -> Gallery:
    """Return some samples with truth, answer and mistakes side by side, by their share of mistakes."""
    wrong = (targets != decided) & (targets != UNKNOWN)
    shares = wrong.reshape(len(wrong), -1).mean(axis=1)
    order = np.argsort(-shares, kind="stable")
    items = []
    for row in order[np.unique(np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).astype(int))]:
        pictures = drawings(answers.dataset.test.inputs[row], targets[row], decided[row])
        shown = zip(pictures, ("as it is", "truth", "answer", "mistakes"), strict=True)
        words = f"test sample {row}"
        html = "".join(img(pixels, f"{words}, {what}") for pixels, what in shown)
        items.append(Item(f'<span class="slices">{html}</span>', (words, f"{shares[row]:.2%} wrong")))
    caption = (
        f"From the worst to the best of {len(targets):,} test samples: as it is, truth, answer, and in red where they "
        "differ. Of volumes, the slice with the most mistakes."
    )
    return Gallery("Masks", caption, tuple(items))


def drawings(sample: Array, truth: Array, answer: Array) -> tuple[Array, Array, Array, Array]:
    """Return uint8 (H, W, 3): a sample, the same under its true classes, under those found, and its mistakes in red."""
    if truth.ndim == 3:
        sample, truth, answer = _slice(sample, truth, answer)
    pixels = _rgb(sample)
    wrong = (truth != answer) & (truth != UNKNOWN)
    mistakes = np.where(wrong[:, :, None], _MISTAKE, pixels // 2).astype(np.uint8)
    marked = np.where(truth == UNKNOWN, _PLAIN, truth)
    true, found = (veiled(pixels, mask, _PLAIN, opaque=False) for mask in (marked, answer))
    return pixels, true, found, mistakes


def _slice(sample: Array, truth: Array, answer: Array) -> tuple[Array, Array, Array]:
    """Return the slice with the most mistakes across the shortest side, which leaves the most to be seen."""
    axis = int(np.argmin(truth.shape))
    wrong = (truth != answer) & (truth != UNKNOWN)
    place = int(wrong.sum(axis=tuple(other for other in range(3) if other != axis)).argmax())
    one, two, three = (volume.take(place, axis) for volume in (sample, truth, answer))
    return one, two, three


def _rgb(sample: Array) -> Array:
    """Return uint8 (H, W, 3) of a picture (H, W, C) or a slice (H, W[, C])."""
    pixels = stretched(sample)
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        return np.ascontiguousarray(pixels[:, :, :3])
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"
