"""What found boxes look like on the test split, for the report."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from stages.dataset import Array
from stages.report import plots
from stages.report.answers import Answers
from stages.report.figure import Figure, Gallery, Item, Part, Table
from stages.report.pixels import img
from stages.tasks.detect.average_precision import Ratings, average_precision

_SHOWN = 12
_SIDE_PX = 240
_TRUE, _RIGHT, _WRONG = (0, 220, 90), (80, 170, 255), (255, 120, 0)
_LEGEND = "Green: where things are; blue: boxes that are right at an overlap of 0.5; orange: boxes that are not."
_OVERLAPS = {0: "0.5", 5: "0.75", 9: "0.95"}  # of those of COCO, those that are drawn


class Found(NamedTuple):
    """Answers in px of the pictures as they came, and how right they are.

    boxes    (N, D, 4)
    """

    answers: Answers
    boxes: Array
    ratings: Ratings


def figures(answers: Answers) -> Iterator[Part]:
    """Yield pictures with true and found boxes, precision by recall, figures by class, mistakes, what was missed."""
    found = _found(answers)
    rows = np.linspace(0, len(answers.dataset.test) - 1, min(_SHOWN, len(answers.dataset.test))).astype(int)
    yield Gallery("Boxes", f"Test pictures, evenly spread. {_LEGEND}", tuple(_item(found, row) for row in rows))
    yield Figure("Precision by recall", _curve_words(found.ratings), _curve(found.ratings))
    yield _by_class(found)
    yield from _mistakes(found)
    yield from _missed(found)


def _found(answers: Answers) -> Found:
    targets, outputs = answers.dataset.test.targets, answers.outputs
    # What a network for one size answers are parts of a picture, the largest of which is 1.
    relative = bool(outputs["boxes"].max(initial=0) <= 1)
    frames = np.tile(targets[:, :1, 2:4], 2) if relative else 1
    ratings = average_precision(outputs, targets, answers.dataset.info.labels, relative=relative)
    return Found(answers, outputs["boxes"] * frames, ratings)


def _item(found: Found, row: int, words: Sequence[str] = ()) -> Item:
    things = found.answers.dataset.test.targets[row, 1:][found.ratings.things[row]]
    count = int(found.answers.outputs["count"][row])
    words = words or (f"{len(things)} things, {count} boxes",)
    return Item(img(_overlay(found, row), f"test sample {row}: {', '.join(words)}"), tuple(words))


def _overlay(found: Found, row: int) -> Array:
    """Return uint8 (height, width, 3): a test picture, enlarged when it is small, with true and found boxes."""
    pixels = found.answers.dataset.test.inputs[row]
    picture = Image.fromarray(pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]).convert("RGB")
    factor = _SIDE_PX / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * factor)), max(1, round(picture.height * factor))))
    brush, labels = ImageDraw.Draw(picture), found.answers.dataset.info.labels
    for *corners, label in found.answers.dataset.test.targets[row, 1:][found.ratings.things[row]]:
        x1, y1, x2, y2 = factor * np.array(corners)
        brush.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=_TRUE)
        brush.text((x1 + 2, y1), labels[int(label)], fill=_TRUE)
    valid = found.ratings.valid[row]
    classes = found.answers.outputs["class_index"][row, valid]
    for corners, label, right in zip(found.boxes[row, valid], classes, found.ratings.right[row, valid], strict=True):
        x1, y1, x2, y2 = factor * corners
        colour = _RIGHT if right else _WRONG
        brush.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour)
        brush.text((x2 - 2, y2 - 1), labels[label], fill=colour, anchor="rb")
    return np.asarray(picture)


def _curve_words(ratings: Ratings) -> str:
    figures = ratings.metrics()
    return (
        "Mean over classes by the rules of COCO, at three least overlaps. Mean average precision is "
        f"{figures['map50']:.3f} at an overlap of 0.5 and {figures['map50_95']:.3f} from 0.5 to 0.95. With the score "
        f"threshold of the graph {figures['precision50']:.1%} of boxes are right, and {figures['recall50']:.1%} of "
        "things are found: curves end there."
    )


def _curve(ratings: Ratings) -> str:
    from matplotlib.figure import Figure as Drawing

    known = ratings.precision[0, 0] >= 0
    with plots.style():
        drawing = Drawing(figsize=(5, 3.2), layout="constrained")
        axes = drawing.subplots()
        for (place, words), colour in zip(_OVERLAPS.items(), (plots.ACCENT, plots.SECOND, plots.THIRD), strict=True):
            if known.any():
                mean = ratings.precision[place][:, known].mean(axis=1)
                axes.plot(np.linspace(0, 1, len(mean)), mean, color=colour, label=f"overlap {words}")
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.01)
        if known.any():
            axes.legend(frameon=False, loc="lower left")
        return plots.svg(drawing)


def _by_class(found: Found) -> Table:
    ratings, outputs = found.ratings, found.answers.outputs
    precision = ratings.by_class()
    true = found.answers.dataset.test.targets[:, 1:, 4].astype(int)
    rows = []
    for number, label in enumerate(found.answers.dataset.info.labels):
        boxes = ratings.valid & (outputs["class_index"] == number)
        things = ratings.things & (true == number)
        whole = [precision[0, number], precision[:, number].mean()]
        shares = [_share(ratings.right[boxes]), _share(ratings.found[things])]
        rows.append((label, *(_figure(value) for value in whole + shares), f"{things.sum():,}", f"{boxes.sum():,}"))
    head = ("class", "AP50", "AP50-95", "boxes right", "things found", "things", "boxes")
    caption = "Average precision, and at an overlap of 0.5 the shares of boxes that are right and of things found."
    return Table("By class", caption, head, tuple(rows), numbers=True)


def _share(values: Array) -> float:
    return float(values.mean()) if values.size else np.nan


def _figure(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _mistakes(found: Found) -> Iterator[Gallery]:
    """Yield the pictures with the wrong boxes of the best scores."""
    wrong = found.ratings.valid & ~found.ratings.right
    scores = np.where(wrong, found.answers.outputs["scores"], 0).max(axis=1)
    rows = [row for row in np.argsort(-scores, kind="stable")[:_SHOWN] if scores[row] > 0]
    labels = found.answers.dataset.info.labels
    items = []
    for row in rows:
        place = int(np.where(wrong[row], found.answers.outputs["scores"][row], 0).argmax())
        taken = labels[found.answers.outputs["class_index"][row, place]]
        items.append(_item(found, row, (f"taken for {taken}", f"score {scores[row]:.0%}")))
    if items:
        caption = f"Of {wrong.sum():,} boxes that are not right, those with the best scores. {_LEGEND}"
        yield Gallery("Surest mistakes", caption, tuple(items))


def _missed(found: Found) -> Iterator[Gallery]:
    """Yield the pictures with the most things that were not found."""
    missed = (found.ratings.things & ~found.ratings.found).sum(axis=1)
    rows = [row for row in np.argsort(-missed, kind="stable")[:_SHOWN] if missed[row]]
    if rows:
        caption = f"{missed.sum():,} of {found.ratings.things.sum():,} things were not found. {_LEGEND}"
        yield Gallery("Missed", caption, tuple(_item(found, row, (f"{missed[row]} missed",)) for row in rows))
