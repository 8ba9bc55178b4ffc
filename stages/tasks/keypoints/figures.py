"""What found points look like on the test split, for the report."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from stages.dataset import Array
from stages.report import plots
from stages.report.answers import Answers
from stages.report.figure import Figure, Gallery, Item, Part
from stages.report.pixels import img
from stages.tasks.keypoints.heads import TOLERANCE, distances

_SHOWN = 12
_SIDE_PX = 240
_TRUE, _FOUND, _UNSURE = (0, 220, 90), (255, 120, 0), (150, 150, 150)
_FAR = 0.15  # how far the curve of errors goes, as a part of the size


def figures(answers: Answers) -> Iterator[Part]:
    """Yield pictures with true and found points, errors by point, the worst pictures, what was seen in nothing."""
    away = distances(answers.outputs["points"], answers.dataset.test.targets)
    known = ~np.isnan(away)
    shown = np.flatnonzero(known.any(axis=1))
    means = np.array([away[row][known[row]].mean() for row in shown])
    legend = "Green rings: where points are; orange dots: where they are found, grey ones of low confidence."
    order = np.argsort(means, kind="stable")
    spread = order[np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).astype(int)]
    words = f"From the best to the worst of {len(shown):,} test pictures. {legend}"
    yield _gallery("Points", words, shown[spread], away, answers)
    yield Figure("Error by point", _by_point_words(away, known), _by_point(away, known, answers.dataset.info.labels))
    yield Figure("Points within a distance", _curve_words(away[known]), _curve(away[known]))
    yield _gallery(
        "Worst pictures", f"Those with the largest mean error. {legend}", shown[order[::-1][:_SHOWN]], away, answers
    )
    yield from _seen_in_nothing(np.flatnonzero(~known.any(axis=1)), away, answers)


def _gallery(title: str, caption: str, rows: Array, away: Array, answers: Answers) -> Gallery:
    items = []
    for row in rows:
        error, sure = np.nanmean(away[row]), answers.outputs["confidence"][row].mean()
        picture = overlay(answers.dataset.test.inputs[row], answers.dataset.test.targets[row], *_answer(answers, row))
        words = (f"error {error:.1%} of the size", f"confidence {sure:.0%}")
        items.append(Item(_large(picture, f"test sample {row}: {words[0]}"), words))
    return Gallery(title, caption, tuple(items))


def _seen_in_nothing(rows: Array, away: Array, answers: Answers) -> Iterator[Gallery]:
    """Yield the pictures without a known point in which the most points were found."""
    if not len(rows):
        return
    found = answers.outputs["found"][rows].sum(axis=1)
    items = []
    for row in rows[np.argsort(-found, kind="stable")][:_SHOWN]:
        picture = overlay(answers.dataset.test.inputs[row], answers.dataset.test.targets[row], *_answer(answers, row))
        sure, count = answers.outputs["confidence"][row].max(), answers.outputs["found"][row].sum()
        items.append(Item(_large(picture, f"test sample {row}"), (f"{count} found", f"confidence {sure:.0%} at most")))
    caption = (
        f"Of {len(rows)} pictures in which no point is known, in {np.count_nonzero(found)} some were found; these are "
        "those with the most."
    )
    yield Gallery("Pictures without a known point", caption, tuple(items))


def _large(picture: Array, words: str) -> str:
    return f'<span class="large">{img(picture, words)}</span>'


def _answer(answers: Answers, row: int) -> tuple[Array, Array]:
    return answers.outputs["points"][row], answers.outputs["found"][row]


def overlay(sample: Array, truth: Array, points: Array, found: Array) -> Array:
    """Return uint8 (height, width, 3): a picture (H, W, C), enlarged when it is small, with true and found points."""
    pixels = np.clip(np.rint(sample), 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]).convert("RGB")
    factor = _SIDE_PX / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * factor)), max(1, round(picture.height * factor))))
    brush, sides = ImageDraw.Draw(picture), np.array(picture.size)
    for (x, y), (true_x, true_y), sure in zip(points * sides - 0.5, truth * sides - 0.5, found, strict=True):
        if not np.isnan(true_x):
            brush.line((true_x, true_y, x, y), fill=_TRUE)
            brush.ellipse((true_x - 3, true_y - 3, true_x + 3, true_y + 3), outline=_TRUE)
        brush.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=_FOUND if sure else _UNSURE)
    return np.asarray(picture)


def _by_point_words(away: Array, known: Array) -> str:
    return (
        f"Distance from the true point as a part of the picture's size, over {np.count_nonzero(known):,} points: bars "
        f"are means ({away[known].mean():.2%} over all), ticks medians."
    )


def _by_point(away: Array, known: Array, names: tuple[str, ...]) -> str:
    from matplotlib.figure import Figure as Drawing

    there = [place for place in range(len(names)) if known[:, place].any()]
    errors = [100 * away[known[:, place], place] for place in there]
    order = np.argsort([values.mean() for values in errors], kind="stable")[::-1]
    with plots.style():
        drawing = Drawing(figsize=(8, 0.8 + 0.22 * len(there)), layout="constrained")
        axes = drawing.subplots()
        axes.barh(range(len(there)), [errors[place].mean() for place in order], color=plots.ACCENT)
        axes.plot(
            [np.median(errors[place]) for place in order], range(len(there)), "|", color=plots.SECOND, markersize=9
        )
        axes.set_yticks(range(len(there)), [names[there[place]].replace("_", " ") for place in order], fontsize=8)
        axes.set_xlabel("% of the picture's size")
        axes.grid(visible=False, axis="y")
        return plots.svg(drawing)


def _curve_words(errors: Array) -> str:
    within = float((errors <= TOLERANCE).mean())
    return (
        f"The share of points that are no further off; {within:.1%} are within {TOLERANCE:.0%} of the size (the line)."
    )


def _curve(errors: Array) -> str:
    from matplotlib.figure import Figure as Drawing

    places = np.linspace(0, _FAR, 200)
    shares = np.searchsorted(np.sort(errors), places, side="right") / len(errors)
    with plots.style():
        drawing = Drawing(figsize=(5, 2.8), layout="constrained")
        axes = drawing.subplots()
        axes.plot(100 * places, 100 * shares, color=plots.ACCENT)
        axes.axvline(100 * TOLERANCE, color=plots.SECOND, linewidth=1)
        axes.set_xlabel("distance, % of the picture's size")
        axes.set_ylabel("% of points")
        axes.set_xlim(0, 100 * _FAR)
        axes.set_ylim(0, 101)
        return plots.svg(drawing)
