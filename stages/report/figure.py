"""What a report is made of besides words: figures, galleries of samples, tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

_NAMES = ("kind", "shape", "above", "to")  # JSON has them in the order of the alphabet


@dataclass(frozen=True)
class Figure:
    """A picture as SVG text, with what it shows and how to read it."""

    form: ClassVar[str] = "figure"
    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Item:
    """One sample of a gallery: HTML that shows it, and lines of text below."""

    html: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """Samples side by side; as many a row as fit."""

    form: ClassVar[str] = "gallery"
    title: str
    caption: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; with `numbers` every column but the first is aligned right."""

    form: ClassVar[str] = "table"
    title: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: bool = False

    @classmethod
    def of(cls, title: str, caption: str, rows: Sequence[dict[str, Any]]) -> "Table":
        """Make a table from JSON objects: a column for each key that any of them fills, what names a row first."""
        filled = dict.fromkeys(key for row in rows for key, value in row.items() if value not in ("", None, [], {}))
        keys = sorted(filled, key=lambda key: key not in _NAMES)
        head = tuple(key.replace("_", " ") for key in keys)
        return cls(title, caption, head, tuple(tuple(_text(row.get(key)) for key in keys) for row in rows))


Part = Figure | Gallery | Table


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return str(value)
