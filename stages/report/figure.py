"""What a report is made of besides words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_NAMES = ("kind", "shape", "above", "to")  # JSON has them in the order of the alphabet


@dataclass(frozen=True)
class Figure:
    """A picture as SVG text, with what it shows and how to read it."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Table:
    """Rows of text under headings."""

    title: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, title: str, caption: str, rows: Sequence[dict[str, Any]]) -> "Table":
        """Make a table from JSON objects: a column for each key that any of them fills, what names a row first."""
        filled = dict.fromkeys(key for row in rows for key, value in row.items() if value not in ("", None, [], {}))
        keys = sorted(filled, key=lambda key: key not in _NAMES)
        head = tuple(key.replace("_", " ") for key in keys)
        return cls(title, caption, head, tuple(tuple(_text(row.get(key)) for key in keys) for row in rows))


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
