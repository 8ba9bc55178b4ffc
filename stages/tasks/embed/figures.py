"""What vectors of the test split look like, for the report: what they find, and what they tell apart."""

import html
from collections.abc import Iterator

import numpy as np

from stages.dataset import Array
from stages.report import plots
from stages.report.answers import Answers
from stages.report.figure import Figure, Gallery, Item, Part
from stages.tasks.embed import retrieval
from stages.tasks.embed.pairs import Pairs, pairs

_NEAREST = 5
_WRONG, _OTHERS = 4, 4
_FALSE_ALARMS = 0.01


def figures(answers: Answers) -> Iterator[Part]:
    """Yield rows of what is nearest and, where targets are classes, how same and different pairs differ in cosine."""
    vectors, targets = answers.outputs["embedding"], answers.dataset.test.targets
    classes = targets if targets.ndim == 1 and targets.dtype.kind in "iu" else None
    yield _retrieved(answers, vectors, classes)
    found = None if classes is None else pairs(vectors, classes)
    if found is not None:
        error, threshold = found.equal_error()
        title = "Cosines of two samples"
        caption = f"Of one class, and of two. At {threshold:.3f} wrong acceptance and refusal are both {error:.2%}."
        yield Figure(title, caption, _histogram(found, threshold))
        share = float(found.accepted(np.quantile(found.different, [1 - _FALSE_ALARMS]))[1][0])
        caption = (
            "Whether two samples are of one class, by a threshold on their cosine: how many same pairs are accepted by "
            f"how many different ones are. Area {found.area():.4f}; at {_FALSE_ALARMS:.0%} false alarms {share:.2%}."
        )
        yield Figure("Verification", caption, _roc(found))


def _retrieved(answers: Answers, vectors: Array, classes: Array | None) -> Gallery:
    """Return queries with their nearest others: first those that are surest of a wrong one, then some of the rest."""
    rows, cosines = retrieval.nearest(vectors, _NEAREST)
    asked = np.flatnonzero(rows[:, 0] >= 0)
    wrong = asked[:0] if classes is None else asked[classes[rows[asked, 0]] != classes[asked]]
    surest = wrong[np.argsort(-cosines[wrong, 0], kind="stable")][:_WRONG]
    rest = np.setdiff1d(asked, wrong)
    spread = rest[np.linspace(0, len(rest) - 1, min(_OTHERS, len(rest))).astype(int)]
    items = [_row(answers, query, rows[query], cosines[query], classes) for query in (*surest, *spread)]
    caption = "A sample, and the five nearest to it with their cosines"
    if classes is not None:
        caption += "; others than its class are framed dashed"
    if len(wrong):
        caption += (
            f". First {len(surest)} of {len(wrong):,} whose nearest is wrong, the surest ones, then some of the rest"
        )
    return Gallery("Nearest samples", f"{caption}.", tuple(items))


def _row(answers: Answers, query: int, rows: Array, cosines: Array, classes: Array | None) -> Item:
    shown = [_cell(answers, query, "asked", "asked")]
    for row, cosine in zip(rows[rows >= 0].tolist(), cosines[rows >= 0].tolist(), strict=True):
        frame = "" if classes is None else "right" if classes[row] == classes[query] else "wrong"
        shown.append(_cell(answers, row, f"{cosine:.3f}", frame))
    name = "" if classes is None else f": {answers.dataset.info.labels[classes[query]]}"
    return Item(f'<span class="retrieved">{"".join(shown)}</span>', (f"test sample {query}{name}",))


def _cell(answers: Answers, row: int, below: str, frame: str) -> str:
    picture = answers.draw(answers.dataset.test.inputs[row], f"test sample {row}")
    return f'<span class="{frame}">{picture}{html.escape(below)}</span>'


def _histogram(found: Pairs, threshold: float) -> str:
    from matplotlib.figure import Figure as Drawing

    bins = np.linspace(min(found.same[0], found.different[0]), max(found.same[-1], found.different[-1], 1e-6), 61)
    with plots.style():
        figure = Drawing(figsize=(8, 2.6), layout="constrained")
        axes = figure.subplots()
        for values, colour, label in (
            (found.same, plots.ACCENT, f"one class: {len(found.same):,} pairs"),
            (found.different, plots.SECOND, f"two classes: {len(found.different):,} pairs"),
        ):
            counts, edges = np.histogram(values, bins)
            axes.stairs(100 * counts / len(values), edges, color=colour, fill=True, alpha=0.45, label=label)
        axes.axvline(threshold, color=plots.QUIET, linewidth=1, linestyle="--", label="equal error")
        axes.set_xlabel("cosine")
        axes.set_ylabel("% of pairs")
        axes.legend(frameon=False)
        return plots.svg(figure)


def _roc(found: Pairs) -> str:
    from matplotlib.figure import Figure as Drawing

    wrongly, rightly = found.curve()
    alarms = np.append(0, np.geomspace(1 / len(found.different), 1, 200))
    places = np.unique(
        np.searchsorted(wrongly, alarms, side="right") - 1
    )  # for each, the most that are accepted rightly
    with plots.style():
        figure = Drawing(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot(wrongly[places], rightly[places], color=plots.ACCENT)
        axes.set_xscale("symlog", linthresh=1e-4)
        axes.set_xlim(0, 1)
        axes.set_ylim(min(0.9, rightly[places].min()), 1.002)
        axes.set_xlabel("share of different pairs accepted")
        axes.set_ylabel("share of same pairs accepted")
        return plots.svg(figure)
