"""The confusion matrix, for 2 to some hundred classes: as a drawing, as its largest entries, and class by class."""

import html
from collections.abc import Sequence
from unicodedata import east_asian_width

import numpy as np

from stages.dataset import Array
from stages.report.figure import Table

_NUMBERED = 20  # with more classes a cell is too small for a number
_CELL, _SMALL_CELL, _LETTER = 34, 13, 7  # px
_LONGEST = 18  # letters of a label
_MOST = 10


def matrix(targets: Array, decided: Array, classes: int) -> Array:
    """Return counts int64 (classes, classes): true class by row, decided class by column."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (targets, decided), 1)
    return counts


def drawing(counts: Array, labels: Sequence[str]) -> str:
    """Return the matrix as SVG: mistakes coloured by their number, which is written in when there is room for it."""
    numbered = len(labels) <= _NUMBERED
    cell = _CELL if numbered else _SMALL_CELL
    names = [short(label, _LONGEST) for label in labels]
    margin = 26 + _LETTER * max(map(_width, names))
    side = margin + cell * len(labels)
    mistakes = counts * (1 - np.eye(len(labels), dtype=np.int64))
    parts = [_axis(names, cell, margin, side)]
    for row, column in np.argwhere(counts):
        count, right = int(counts[row, column]), row == column
        x, y = margin + cell * column, margin + cell * row
        share = 1.0 if right else 0.15 + 0.6 * count / mistakes.max()
        told = f"{labels[row]} as {labels[column]}: {count:,}"
        parts.append(
            f'<rect class="{"right" if right else "wrong"}" x="{x}" y="{y}" width="{cell}" height="{cell}" '
            f'fill-opacity="{share:.2f}"><title>{html.escape(told)}</title></rect>'
        )
        if numbered:
            parts.append(f'<text class="count" x="{x + cell / 2}" y="{y + cell / 2 + 4}">{_count(count)}</text>')
    return f'<svg class="matrix" viewBox="0 0 {side} {side}" width="{side}" height="{side}">{"".join(parts)}</svg>'


def most_frequent(counts: Array, labels: Sequence[str]) -> Table:
    """Return the mistakes that are made most often."""
    mistakes = counts * (1 - np.eye(len(labels), dtype=np.int64))
    places = np.argsort(-mistakes, axis=None, kind="stable")[:_MOST]
    pairs = [divmod(int(place), len(labels)) for place in places if mistakes.flat[place]]
    rows = []
    for row, column in pairs:
        count = counts[row, column]
        rows.append((f"{labels[row]} as {labels[column]}", f"{count:,}", f"{count / counts[row].sum():.1%}"))
    head = ("mistake", "samples", "of the class")
    return Table("Most frequent mistakes", "A true class, and what it was taken for.", head, tuple(rows), numbers=True)


def by_class(counts: Array, labels: Sequence[str]) -> Table:
    """Return precision, recall, F1 and support of each class, and their mean over the classes that have samples.

    A ratio without anything to divide by (a class that is never decided) is shown as a dash and counts as 0 in means.
    """
    right, decided, true = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    figures = [_ratio(right, decided), _ratio(right, true), _ratio(2 * right, decided + true)]
    rows = [(label, *(_percent(figure[i]) for figure in figures), f"{true[i]:,}") for i, label in enumerate(labels)]
    means = [np.nan_to_num(figure[true > 0]).mean() if true.any() else np.nan for figure in figures]
    rows.append(("mean over classes", *map(_percent, means), f"{true.sum():,}"))
    caption = "Precision: how many of those decided so are; recall: how many of those that are were found."
    head = ("class", "precision", "recall", "F1", "support")
    return Table("Class by class", caption, head, tuple(rows), numbers=True)


def short(label: str, letters: int) -> str:
    """Return a label cut to so many letters."""
    return label if len(label) <= letters else f"{label[: letters - 1]}…"


def _axis(names: Sequence[str], cell: int, margin: int, side: int) -> str:
    middle = (margin + side) / 2
    parts = [
        f'<rect class="ground" x="{margin}" y="{margin}" width="{side - margin}" height="{side - margin}"/>',
        f'<text class="title" x="{middle}" y="12">decided</text>',
        f'<text class="title" x="12" y="{middle}" transform="rotate(-90 12 {middle})">true</text>',
    ]
    for i, name in enumerate(names):
        along, word = margin + cell * (i + 0.5), html.escape(name)
        parts.append(f'<text class="row" x="{margin - 6}" y="{along + 4}">{word}</text>')
        x, y = along + 4, margin - 6
        parts.append(f'<text class="column" x="{x}" y="{y}" transform="rotate(-90 {x} {y})">{word}</text>')
    return "".join(parts)


def _width(name: str) -> int:
    """Return the width of a word in letters; Chinese ones are twice as wide."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in name)


def _count(count: int) -> str:
    return f"{count}" if count < 10_000 else f"{count / 1000:.0f}k"


def _ratio(part: Array, whole: Array) -> Array:
    ratios = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratios, where=whole > 0)
    return ratios


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"
