"""CSV files with a header line."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deploy.schema import closest
from stages.data.read.text import utf8
from stages.dataset import Array
from stages.errors import DataError


class Table:
    """A CSV file (UTF-8, may be packed): its columns by name, its rows with the lines on which they end."""

    def __init__(self, path: Path, delimiter: str = ",") -> None:
        self.path = path
        reader = csv.reader(io.StringIO(utf8(path), newline=""), delimiter=delimiter, strict=True)
        try:
            self.columns = [name.strip() for name in next(reader, [])]
            self.rows = [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}; mend that line") from None
        if not self.rows:
            raise DataError(f"{path}: has no rows; expected a header line and a row for each sample")
        for line, row in self.rows:
            if len(row) != len(self.columns):
                raise DataError(
                    f"{path}, line {line}: {len(row)} values, the header names {len(self.columns)} columns; mend it"
                )

    def column(self, name: str, option: str) -> list[str]:
        """Return one column; `option` is what chose it, for the error when there is none of that name."""
        if name not in self.columns:
            raise DataError(
                f"{self.path}: no column {name!r}; {closest(name, self.columns)}; --set data.{option}=COLUMN"
            )
        at = self.columns.index(name)
        return [row[at] for _, row in self.rows]

    def numbers(self, without: str) -> Array:
        """Return all columns but one as float64 (rows, columns); nothing between two commas is NaN."""
        at = self.columns.index(without)
        return np.array([list(self._floats(line, row, at)) for line, row in self.rows])

    def _floats(self, line: int, row: list[str], skipped: int) -> Iterator[float]:
        for index, value in enumerate(row):
            if index == skipped:
                continue
            try:
                yield float(value) if value.strip() else float("nan")
            except ValueError:
                raise DataError(
                    f"{self.path}, line {line}: column {self.columns[index]!r} holds {value[:40]!r}, expected a number"
                ) from None
