"""What scores on the test split look like, for the report."""

from collections.abc import Iterator

import numpy as np

from deploy.outputs.heat import chart, heated
from stages.dataset import Array
from stages.report import plots
from stages.report.answers import Answers
from stages.report.figure import Figure, Gallery, Item, Part, Table
from stages.report.pixels import img, stretched
from stages.tasks.anomaly.rates import auroc, kinds

_SHOWN = 8
_BINS = 40
_LARGEST = 4.0  # thresholds; scores above are counted in the last bin


def figures(answers: Answers) -> Iterator[Part]:
    """Yield the histogram of scores, the ROC, figures by kind, and samples on the wrong side and on the right one."""
    found, score = kinds(answers.dataset.test.targets), answers.outputs["score"].astype(np.float64)
    above = answers.outputs["is_anomaly"] == 1
    yield _histogram(found, score)
    if 0 < (found > 0).sum() < len(found):
        yield _roc(found, score, answers.metrics)
        yield _by_kind(found, score, above, answers.dataset.info.labels)
    order = np.argsort(-score, kind="stable")
    yield from _gallery("False alarms", "Normal samples with the largest scores.", order[found[order] == 0], answers)
    new = order[found[order] > 0]
    yield from _gallery("Least noticed", "Anomalies with the smallest scores, smallest first.", new[::-1], answers)
    middle = new[np.linspace(0, len(new) - 1, min(_SHOWN, len(new))).astype(int)]
    yield from _gallery("Anomalies", "From the largest score to the smallest.", middle, answers)


def _histogram(found: Array, score: Array) -> Figure:
    from matplotlib.figure import Figure as Drawing

    edges = np.linspace(0, min(_LARGEST, max(1.5, float(score.max()))), _BINS + 1)
    with plots.style():
        drawing = Drawing(figsize=(8, 2.6), layout="constrained")
        axes = drawing.subplots()
        for rows, label, colour in ((found == 0, "normal", plots.ACCENT), (found > 0, "others", plots.SECOND)):
            if rows.any():
                share = np.full(int(rows.sum()), 100 / rows.sum())
                axes.hist(
                    np.minimum(score[rows], edges[-1]),
                    edges.tolist(),
                    weights=share,
                    color=colour,
                    alpha=0.6,
                    label=label,
                )
        axes.axvline(1, color=plots.INK, linewidth=1, linestyle="--", label="threshold")
        axes.set_xlabel("score, in thresholds")
        axes.set_ylabel("% of samples")
        axes.legend(frameon=False)
        caption = "Scores of normal samples and of others; those right of the threshold are called anomalies."
        return Figure("Scores", caption, plots.svg(drawing))


def _roc(found: Array, score: Array, metrics: dict[str, float]) -> Figure:
    from matplotlib.figure import Figure as Drawing
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(found > 0, score)
    alarms, detected = (float((score[rows] > 1).mean()) for rows in (found == 0, found > 0))
    with plots.style():
        drawing = Drawing(figsize=(4.2, 3.8), layout="constrained")
        axes = drawing.subplots()
        axes.plot(false, true, color=plots.ACCENT)
        axes.plot([0, 1], [0, 1], color=plots.EDGE, linewidth=1, linestyle="--")
        axes.plot([alarms], [detected], "o", color=plots.SECOND, label="threshold")
        axes.set_xlabel("false alarms: share of normal samples above")
        axes.set_ylabel("detected: share of others above")
        axes.legend(frameon=False, loc="lower right")
        caption = (
            f"Area under the curve {auroc(found > 0, score):.4f}. At the threshold {alarms:.1%} of normal samples are "
            f"false alarms, and {detected:.1%} of the others are detected"
        )
        if "expected_false_alarms" in metrics:
            caption += f"; by validation {metrics['expected_false_alarms']:.1%} false alarms are to be expected"
        return Figure("Receiver operating characteristic", f"{caption}.", plots.svg(drawing))


def _by_kind(found: Array, score: Array, above: Array, labels: tuple[str, ...]) -> Table:
    """Return samples, AUROC against the normal ones, median score and share above the threshold, by kind."""
    rows = []
    for kind in np.unique(found).tolist():
        mine = found == kind
        some = mine | (found == 0)
        area = f"{auroc(mine[some], score[some]):.4f}" if kind else ""
        rows.append(
            (labels[kind], f"{mine.sum():,}", area, f"{np.median(score[mine]):.2f}", f"{above[mine].mean():.1%}")
        )
    head = ("kind", "samples", "AUROC", "median score", "above the threshold")
    return Table("Kind by kind", "Each kind against the normal samples.", head, tuple(rows), numbers=True)


def _gallery(title: str, caption: str, rows: Array, answers: Answers) -> Iterator[Gallery]:
    items = tuple(_item(int(row), answers) for row in rows[:_SHOWN])
    if items:
        where = " Beside each, where it is new: yellow from 0.75 of the threshold, red from 1.5 on."
        yield Gallery(title, caption + where, items)


def _item(row: int, answers: Answers) -> Item:
    sample, scores = answers.dataset.test.inputs[row], answers.outputs["score_map"][row]
    labels, words = answers.dataset.info.labels, f"test sample {row}"
    if scores.ndim == 1:
        shown = answers.draw(sample, words) + img(chart(scores), f"{words}, scores over time")
    else:
        pixels = _rgb(np.asarray(sample))
        shown = img(pixels, words) + img(heated(pixels, scores), f"{words}, where it is new")
    kind = int(kinds(answers.dataset.test.targets[row : row + 1])[0])
    return Item(f'<span class="slices">{shown}</span>', (labels[kind], f"score {answers.outputs['score'][row]:.2f}"))


def _rgb(sample: Array) -> Array:
    """Return a picture (H, W, C) as uint8 (H, W, 3): the first three channels, or grey."""
    pixels = stretched(sample)
    colour = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1].repeat(3, axis=-1)
    return np.ascontiguousarray(colour)
