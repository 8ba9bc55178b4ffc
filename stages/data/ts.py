"""A `.ts` file of one's own: series and their labels, of the form that the UCR / UEA archive uses."""

from pathlib import Path

from stages.data.read.labels import numbered
from stages.data.read.series import stacked
from stages.data.read.ts import read_ts
from stages.data.ucr import from_ts
from stages.dataset import Dataset, Split
from stages.split import dataset, held_out, split_of

_LICENCE = "not stated (a file of your own)"


def ts(
    root: Path,
    *,
    path: str,
    test_path: str = "",
    length: int = 0,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Series in `path`, split by class; with `test_path`, tested on that file. `root` is not used.

    `length` cuts all series there, or continues them with their last value up to there; 0: they must be equally long.
    """
    file = Path(path)
    if test_path:
        labels, (series, targets), tested = from_ts(file, Path(test_path), length)
        rows, held = held_out(path, targets, labels, validation, seed)
        parts = (Split(series[rows], targets[rows]), Split(series[held], targets[held]), Split(*tested))
    else:
        raw, named, known = read_ts(file)
        labels, targets = numbered(path, named, known)
        series = stacked(path, raw, length)
        return split_of(
            file, (series.shape[1], "length"), labels, series, targets, validation=validation, test=test, seed=seed
        )
    return dataset(file.stem, (series.shape[1], "length"), labels, _LICENCE, parts)
