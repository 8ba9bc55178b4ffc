"""Plots as SVG text, drawn alike: one style for every figure of a report."""

import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.report.reliability import BINS, Reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Bins = Sequence[tuple[int, int]]

INK, GRID, EDGE = "#1b2733", "#e3e8ee", "#b8c2cc"
ACCENT, SECOND, THIRD, QUIET = "#0b6e99", "#d9730d", "#6b4fa0", "#5b6b7b"
_LINES = (ACCENT, SECOND, THIRD, QUIET, INK)
_VARIABLES = {
    INK: "--ink", GRID: "--line", EDGE: "--edge",
    ACCENT: "--accent", SECOND: "--second", THIRD: "--third", QUIET: "--quiet",
}  # fmt: skip
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "onnxway",  # equal figures give equal bytes
    "axes.edgecolor": EDGE,
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
    """Return the figure as an `<svg>` element for HTML; its colours are the page's, and their own elsewhere."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[re.search("<svg", text).start() :]  # type: ignore[union-attr]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    return text


def curves(history: Sequence[dict[str, float]]) -> str:
    """Plot by epoch, side by side: losses, validation figures that are shares, and those with a scale of their own."""
    from matplotlib.figure import Figure

    epochs = [entry["epoch"] for entry in history]
    names = sorted({name for entry in history for name in entry})
    losses = [name for name in names if name.endswith("loss")]
    measured = [name for name in names if name.startswith("validation_") and name not in losses]
    shares = [name for name in measured if all(0 <= entry.get(name, 0) <= 1 for entry in history)]
    scaled = [name for name in measured if name not in shares]
    with style():
        groups = [group for group in (losses, shares, scaled) if group]
        figure = Figure(figsize=(4 * max(2, len(groups)), 2.6), layout="constrained")
        for axes, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
            for name, color in zip(group, itertools.cycle(_LINES), strict=False):
                values = [entry.get(name, np.nan) for entry in history]
                words = name if group is losses else name.removeprefix("validation_")
                axes.plot(epochs, values, color=color, marker=".", label=words.replace("_", " "))
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False)
        return svg(figure)


def side_by_side(lines: Mapping[str, Sequence[float | None]], name: str) -> str:
    """Plot one figure of several runs by epoch, each under its label."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(8, 2.6), layout="constrained")
        axes = figure.subplots()
        for (label, values), color in zip(lines.items(), itertools.cycle(_LINES), strict=False):
            known = [np.nan if value is None else value for value in values]
            axes.plot(range(1, len(known) + 1), known, color=color, marker=".", label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name.replace("_", " "))
        axes.locator_params("x", integer=True)
        axes.legend(frameon=False, ncols=4)
        return svg(figure)


def reliability(bins: Reliability) -> str:
    """Plot accuracy by confidence beside the diagonal, and below it how many samples were that confident."""
    from matplotlib.figure import Figure

    edges = np.arange(BINS) / BINS
    with style():
        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.bar(edges, np.nan_to_num(bins.accuracy), 1 / BINS, align="edge", color=ACCENT, label="accuracy")
        upper.plot(bins.confidence, bins.confidence, color=SECOND, marker=".", label="confidence")
        upper.plot([0, 1], [0, 1], color=EDGE, linewidth=1, linestyle="--")
        upper.set_ylim(0, 1)
        upper.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        lower.bar(edges, bins.count, 1 / BINS, align="edge", color=ACCENT)
        lower.set_ylabel("samples")
        lower.set_xlabel("confidence: probability of the class decided for")
        lower.set_xlim(0, 1)
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
