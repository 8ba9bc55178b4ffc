"""What a classifier's answers on the test split look like, for the report."""

from collections.abc import Iterator

import numpy as np

from stages.dataset import Array
from stages.report import confusion, plots
from stages.report.answers import Answers
from stages.report.confusion import short
from stages.report.figure import Figure, Gallery, Item, Part
from stages.report.reliability import reliability

_SHOWN = 16
_LETTERS = 24


def figures(answers: Answers) -> Iterator[Part]:
    """Yield confusion matrix, figures by class, reliability, and the mistakes of which the model was surest."""
    labels, targets = answers.dataset.info.labels, answers.dataset.test.targets
    decided, probabilities = answers.outputs["class_index"], answers.outputs["probabilities"]
    counts = confusion.matrix(targets, decided, len(labels))
    caption = (
        f"{int(np.trace(counts)):,} of {len(targets):,} test samples on the diagonal; "
        "mistakes are coloured by their number."
    )
    yield Figure("Confusion matrix", caption, confusion.drawing(counts, labels))
    wrong = np.flatnonzero(decided != targets)
    if len(wrong):
        yield confusion.most_frequent(counts, labels)
    yield confusion.by_class(counts, labels)
    yield _reliability(probabilities.max(axis=1), decided == targets, answers.metrics)
    if len(wrong):
        yield _surest(wrong, answers)


def _reliability(confidence: Array, right: Array, metrics: dict[str, float]) -> Figure:
    bins = reliability(confidence, right)
    caption = f"Of the samples of one confidence, as many should be right. Expected calibration error {bins.ece:.2%}"
    if "ece_uncalibrated" in metrics:
        caption += f"; before the temperature was fitted on validation data {metrics['ece_uncalibrated']:.2%}"
    return Figure("Reliability", f"{caption}.", plots.reliability(bins))


def _surest(wrong: Array, answers: Answers) -> Gallery:
    labels, test = answers.dataset.info.labels, answers.dataset.test
    decided, probabilities = answers.outputs["class_index"], answers.outputs["probabilities"]
    surest = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:_SHOWN]
    items = []
    for row in surest:
        true, taken = labels[test.targets[row]], labels[decided[row]]
        picture = answers.draw(test.inputs[row], f"test sample {row}: {true}, taken for {taken}")
        items.append(
            Item(picture, (short(true, _LETTERS), f"as {short(taken, _LETTERS)}", f"{probabilities[row].max():.0%}"))
        )
    caption = (
        f"{len(surest)} of {len(wrong)} mistakes: the true label, what it was taken for, and how sure the model was."
    )
    return Gallery("Surest mistakes", caption, tuple(items))
