"""Plots as SVG text, drawn alike: one style for every figure of a report."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.dataset import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Bins = Sequence[tuple[int, int]]

INK, ACCENT, SECOND, GRID = "#1b2733", "#0b6e99", "#d9730d", "#e3e8ee"
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "onnxway",  # equal figures give equal bytes
    "axes.edgecolor": "#b8c2cc",
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the report's style inside the block."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def svg(figure: "Figure") -> str:
    """Return the figure as an `<svg>` element for HTML."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    return text[re.search("<svg", text).start() :]  # type: ignore[union-attr]


def curves(history: Sequence[dict[str, float]]) -> str:
    """Plot loss on the left and validation figures between 0 and 1 on the right, by epoch."""
    from matplotlib.figure import Figure

    epochs = [entry["epoch"] for entry in history]
    names = sorted({name for entry in history for name in entry})
    losses = [name for name in names if name.endswith("loss")]
    scores = [name for name in names if name.startswith("validation_") and name not in losses]
    with style():
        figure = Figure(figsize=(8, 2.6), layout="constrained")
        groups = [group for group in (losses, scores) if group]
        for axes, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
            for name, color in zip(group, (ACCENT, SECOND, INK), strict=False):
                values = [entry.get(name, np.nan) for entry in history]
                axes.plot(epochs, values, color=color, marker=".", label=name.replace("_", " "))
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False)
        return svg(figure)


def confusion(matrix: Array, labels: Sequence[str]) -> str:
    """Plot counts (true class by row, decided class by column), mistakes in colour."""
    from matplotlib.figure import Figure

    size = max(3.0, min(8.0, 0.42 * len(labels) + 1))
    mistakes = matrix.astype(float) * (1 - np.eye(len(labels)))
    with style():
        figure = Figure(figsize=(size, size), layout="constrained")
        axes = figure.subplots()
        axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(1.0, float(mistakes.max()) * 1.4))
        axes.grid(visible=False)
        axes.set_xticks(range(len(labels)), labels, rotation=0 if max(map(len, labels)) < 4 else 90)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("decided")
        axes.set_ylabel("true")
        if len(labels) <= 20:
            for row, column in np.argwhere(matrix):
                weight = "bold" if row == column else "normal"
                axes.text(
                    column, row, str(matrix[row, column]), ha="center", va="center", fontweight=weight, fontsize=8
                )
        return svg(figure)


def pictures(images: Sequence[Array], titles: Sequence[str]) -> str:
    """Draw small pictures (H, W, 1 or 3, uint8) in rows of eight, each with its title."""
    from matplotlib.figure import Figure

    rows = (len(images) + 7) // 8
    with style():
        figure = Figure(figsize=(8, 1.5 * rows), layout="constrained")
        axes = figure.subplots(rows, 8, squeeze=False).reshape(-1)
        for axis in axes:
            axis.axis("off")
        for axis, image, title in zip(axes, images, titles, strict=False):
            grey = image.shape[-1] == 1
            axis.imshow(image[..., 0] if grey else image, cmap="gray" if grey else None, vmin=0, vmax=255)
            axis.set_title(title, fontsize=8)
        return svg(figure)


def ulps(model: Bins, yardstick: Bins) -> str:
    """Plot how many values lie how many units in the last place from the truth, for the model and its yardstick.

    Each is a list of (least distance of the bin, count of values); bins double in width.
    """
    from matplotlib.figure import Figure

    bins = sorted({low for low, _ in (*model, *yardstick)})
    with style():
        figure = Figure(figsize=(8, 2.4), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(bins))
        sides = ((-0.2, dict(model), ACCENT, "this file"), (0.2, dict(yardstick), SECOND, "yardstick"))
        for offset, counts, color, label in sides:
            total = max(1, sum(counts.values()))
            heights = [100 * counts.get(low, 0) / total for low in bins]
            axes.bar(places + offset, heights, width=0.4, color=color, label=label)
        axes.set_xticks(places, [str(low) if low < 2 else f"{low:,} to {2 * low - 1:,}" for low in bins], fontsize=7)
        axes.tick_params(axis="x", rotation=30 if len(bins) > 7 else 0)
        axes.set_xlabel("units in the last place from the truth")
        axes.set_ylabel("% of values")
        axes.legend(frameon=False)
        return svg(figure)


def layers(figures: Sequence[dict[str, Any]], limit: float) -> str:
    """Plot the noise ratio along the graph, with the limit; tensors without a finite ratio are crosses at the top."""
    from matplotlib.figure import Figure

    names = [entry["module"] or entry["operator"] or entry["tensor"] for entry in figures]
    ratios = [entry["ratio"] for entry in figures]
    finite = [ratio for ratio in ratios if ratio is not None]
    top = 10 * max([limit, *finite])
    with style():
        figure = Figure(figsize=(8, 3), layout="constrained")
        axes = figure.subplots()
        axes.plot(range(len(names)), [top if r is None else max(r, 1e-3) for r in ratios], color=ACCENT, marker=".")
        broken = [place for place, ratio in enumerate(ratios) if ratio is None]
        axes.plot(broken, [top] * len(broken), "x", color=SECOND, label="not finite")
        axes.axhline(limit, color=SECOND, linewidth=1, label=f"limit {limit:g}")
        axes.set_yscale("log")
        axes.set_ylabel("noise ratio")
        step = max(1, len(names) // 24)
        axes.set_xticks(range(0, len(names), step), names[::step], rotation=60, ha="right", fontsize=7)
        axes.legend(frameon=False)
        return svg(figure)
