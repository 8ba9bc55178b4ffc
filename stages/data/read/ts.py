"""The `.ts` files of the UCR / UEA archive (timeseriesclassification.com): a header of @ lines, then a series a line.

Channels are separated by `:`, steps by `,`; the label stands last. `?` and NaN are values that are missing.
"""

from pathlib import Path

import numpy as np

from stages.data.read.text import utf8
from stages.dataset import Array
from stages.errors import DataError


def read_ts(path: Path) -> tuple[list[Array], list[str], tuple[str, ...]]:
    """Return series (channels, T) float64, the label of each, and the labels that the header states.

    Raises `DataError` naming file and line.
    """
    lines = enumerate(utf8(path).splitlines(), 1)
    known = _header(path, lines)
    series, labels = [], []
    for number, line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        one, label = _sample(f"{path}, line {number}", line.strip())
        if known and label not in known:
            raise DataError(
                f"{path}, line {number}: label {label!r}, the header states {', '.join(known)}; mend either"
            )
        series.append(one)
        labels.append(label)
    if not series:
        raise DataError(f"{path}: has no series after its @data line; fetch the file again")
    return series, labels, known


def _header(path: Path, lines: "enumerate[str]") -> tuple[str, ...]:
    known: tuple[str, ...] = ()
    for number, line in lines:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        tag, values = words[0].lower(), words[1:]
        if tag == "@data":
            return known
        if not tag.startswith("@"):
            raise DataError(f"{path}, line {number}: expected a header line that begins with @, got {line[:40]!r}")
        if tag == "@timestamps" and values[:1] == ["true"]:
            raise DataError(f"{path}, line {number}: series with time stamps are not read; write values at even steps")
        if tag == "@targetlabel" or (tag == "@classlabel" and values[:1] != ["true"]):
            raise DataError(f"{path}, line {number}: series without class labels; a classifier needs a label for each")
        if tag == "@classlabel":
            known = tuple(values[1:])
    raise DataError(f"{path}: has no @data line, so it is no .ts file; fetch it again")


def _sample(where: str, line: str) -> tuple[Array, str]:
    *channels, label = line.split(":")
    if not channels:
        raise DataError(f"{where}: no label; expected values separated by commas, a colon, and the label")
    rows = []
    for channel in channels:
        words = [word.strip() for word in channel.split(",")] if channel.strip() else []
        try:
            rows.append([float("nan") if word == "?" else float(word) for word in words])
        except ValueError as error:
            raise DataError(f"{where}: {error}; expected numbers separated by commas") from None
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise DataError(f"{where}: channels of {lengths[0]} and {lengths[-1]} steps, expected as many in each")
    return np.array(rows, dtype=np.float64).reshape(len(rows), lengths[0]), label.strip()
