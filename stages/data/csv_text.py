"""Texts in a CSV file of one's own: a row each, a column for the text and one for the label."""

from pathlib import Path

import numpy as np

from stages.data.read.labels import numbered
from stages.data.read.table import Table
from stages.data.read.text import code_points, unique
from stages.dataset import Dataset
from stages.errors import DataError
from stages.split import split_of


def csv_text(
    root: Path,
    *,
    path: str,
    text: str = "text",
    label: str = "label",
    delimiter: str = ",",
    longest: int = 512,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Texts of column `text` in `path` (UTF-8, header line), split by the class in column `label`; `root` is not used.

    Repeated texts are taken once, those with several labels left out. Texts are cut after `longest`
    characters, in all splits.
    """
    table = Table(Path(path), delimiter)
    labels, targets = numbered(path, table.column(label, "label"))
    texts = [entry.strip() for entry in table.column(text, "text")]
    for (line, _), entry in zip(table.rows, texts, strict=True):
        if not entry:
            raise DataError(f"{path}, line {line}: column {text!r} is empty; remove that row")
    kept, targets = unique(texts, targets.tolist())
    return split_of(
        Path(path),
        ("length",),
        labels,
        code_points(path, kept, longest),
        np.asarray(targets),
        validation=validation,
        test=test,
        seed=seed,
    )
