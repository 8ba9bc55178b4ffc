"""Pictures of a classifier's answers on the test split, for the report."""

from collections.abc import Iterator

import numpy as np

from stages.dataset import Array, Dataset
from stages.report import plots
from stages.report.figure import Figure

_SHOWN = 16


def figures(outputs: dict[str, Array], dataset: Dataset) -> Iterator[Figure]:
    """Yield the confusion matrix and the mistakes of which the model was surest."""
    labels, targets = dataset.info.labels, dataset.test.targets
    decided, probabilities = outputs["class_index"], outputs["probabilities"]
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(matrix, (targets, decided), 1)
    right = int(np.trace(matrix))
    caption = f"{right:,} of {len(targets):,} test samples on the diagonal; mistakes are coloured by their number."
    yield Figure("Confusion matrix", caption, plots.confusion(matrix, labels))
    wrong = np.flatnonzero(decided != targets)
    if not len(wrong) or dataset.info.sample_shape[-1] not in (1, 3):
        return
    surest = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:_SHOWN]
    titles = [
        f"{_short(labels[targets[i]])}\nas {_short(labels[decided[i]])}\n{probabilities[i].max():.0%}" for i in surest
    ]
    yield Figure(
        "Surest mistakes",
        f"{len(surest)} of {len(wrong)} mistakes: the true label, what it was taken for, and how sure the model was.",
        plots.pictures([dataset.test.inputs[i] for i in surest], titles),
    )


def _short(label: str) -> str:
    return label if len(label) <= 12 else f"{label[:11]}…"
