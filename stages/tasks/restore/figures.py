"""What a restorer's answers on the test split look like, for the report."""

from collections.abc import Iterator

import numpy as np

from stages.dataset import Array
from stages.report.answers import Answers
from stages.report.figure import Gallery, Item, Part, Table
from stages.tasks.restore.quality import psnr

_SHOWN = 4


def figures(answers: Answers) -> Iterator[Part]:
    """Yield the pictures that gained least, in the middle and most, and a table of the gains."""
    targets = answers.dataset.test.targets
    clean, given = targets[:, 0], targets[:, 1]
    restored = np.rint(answers.outputs["restored"]).astype(np.uint8)
    before, now = psnr(given, clean), psnr(restored, clean)
    order = np.argsort(now - before, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).astype(int)]
    items: list[Item] = []
    for row in shown:
        for words, picture in _three(row, clean, given, restored, before, now):
            items.append(Item(answers.draw(picture, f"test sample {row}: {words[0]}"), words))
    caption = "From the picture that gained least to the one that gained most: as it came, restored, and the clean one."
    yield Gallery("Restored pictures", caption, tuple(items))
    yield _gains(before, now)


def _three(
    row: int, clean: Array, given: Array, restored: Array, before: Array, now: Array
) -> Iterator[tuple[tuple[str, str], Array]]:
    yield ("as it came", f"{before[row]:.1f} dB"), given[row]
    yield ("restored", f"{now[row]:.1f} dB"), restored[row]
    yield ("clean", f"test sample {row}"), clean[row]


def _gains(before: Array, now: Array) -> Table:
    rows = [
        (words, *(f"{value:.2f}" for value in (values.mean(), values.min(), np.median(values), values.max())))
        for words, values in (("as it came", before), ("restored", now), ("gained", now - before))
    ]
    caption = "Peak signal-to-noise ratio by picture, in dB."
    return Table("PSNR", caption, ("", "mean", "least", "median", "most"), tuple(rows), numbers=True)
