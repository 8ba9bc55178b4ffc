"""Series: float32 (N, channels, length), from arrays, numbers in lists, and CSV files with a line for each time."""

import re

import numpy as np

from deploy.arrays import Array
from deploy.errors import InputError
from deploy.inputs.arraylike import ArrayInput
from deploy.inputs.numbers import NPY

_DELIMITERS = re.compile(r"[,;\t]")


class SeriesInput(ArrayInput):
    """One series: (channels, length), or (length,) of a single channel; (N, channels, length) is a batch.

    Files are .npy, or text with a line for each time and a column for each channel, with or without a line of names
    above; one line of numbers is a series of one channel too. Columns are split at commas, semicolons, tabs or blanks.
    """

    example = '"series.csv"'
    file = "a CSV file with a line for each time and a column for each channel, or a .npy file"
    filename = "series.csv"
    media = ("text/csv",)

    def complete(self, array: Array) -> Array:
        """Return (channels, length): of one channel, the numbers alone will do."""
        return array[None] if array.ndim == 1 and self.spec.shape[1] == 1 else array

    def decode(self, data: bytes, what: str) -> Array:
        """Return (channels, length) from the bytes of a file."""
        if data.startswith(NPY):
            return super().decode(data, what)
        table = read_table(data, what)
        channels = self.spec.shape[1]
        if channels == 1 and len(table) == 1:
            table = table.T
        if table.shape[1] != channels:
            raise InputError(
                f"{what}: has lines of {table.shape[1]} numbers, expected {channels}, one for each channel; a line is "
                "a point in time"
            )
        return np.ascontiguousarray(table.T)


def read_table(data: bytes, what: str) -> Array:
    """Return the numbers of a text file, float64 (lines, columns); `InputError` for what is no table of numbers."""
    try:
        lines = [line for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{what}: not text in UTF-8 (byte {error.start}); save it as CSV") from None
    rows = [_fields(line) for line in lines]
    if rows and not any(map(_is_number, rows[0])):
        rows, lines = rows[1:], lines[1:]  # a line of names
    if not rows:
        raise InputError(f"{what}: holds no numbers, expected a line for each time")
    for number, row in enumerate(rows, 1):
        wrong = [field for field in row if not _is_number(field)]
        if wrong or len(row) != len(rows[0]):
            found = f"has {wrong[0][:20]!r}" if wrong else f"has {len(row)} numbers, the first {len(rows[0])}"
            raise InputError(f"{what}: line {number} of numbers {found}; expected as many numbers in every line")
    return np.array([[float(field) for field in row] for row in rows], np.float64)


def _fields(line: str) -> list[str]:
    return [field.strip() for field in _DELIMITERS.split(line)] if _DELIMITERS.search(line) else line.split()


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field  # Python's own way of writing numbers
