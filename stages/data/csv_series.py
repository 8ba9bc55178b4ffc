"""Series in a CSV file of one's own: a row each, a column for the label, all other columns values in time."""

from pathlib import Path

from stages.data.read.labels import numbered
from stages.data.read.series import checked
from stages.data.read.table import Table
from stages.dataset import Dataset
from stages.errors import DataError
from stages.split import split_of


def csv_series(
    root: Path,
    *,
    path: str,
    label: str = "label",
    channels: int = 1,
    delimiter: str = ",",
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Rows of `path` (UTF-8, header line), split by the class in column `label`; `root` is not used.

    With several `channels` the columns hold all steps of the first one, then all of the second, and so on.
    """
    table = Table(Path(path), delimiter)
    labels, targets = numbered(path, table.column(label, "label"))
    values = table.numbers(without=label)
    if channels < 1 or values.shape[1] % channels:
        raise DataError(
            f"{path}: {values.shape[1]} columns of values do not make {channels} channels of one length; "
            "mend the file or data.channels"
        )
    series = checked(path, values.reshape(len(values), channels, -1))
    return split_of(
        Path(path), (channels, "length"), labels, series, targets, validation=validation, test=test, seed=seed
    )
