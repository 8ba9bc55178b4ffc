"""A poem: four lines of five or of seven letters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.arrays import Array
from deploy.errors import UsageError
from deploy.outputs.kind import OutputKind, Result
from deploy.quatrain import LINES, lines


@dataclass(frozen=True)
class Poem(Result):
    """A quatrain: its title (may be empty) and its lines, each with its stop; `seed` makes the same one again."""

    title: str
    lines: tuple[str, ...]
    seed: int

    @property
    def text(self) -> str:
        """All lines, one after the other."""
        return "".join(self.lines)

    def line(self) -> str:
        """Return title and lines in one line."""
        return "  ".join(part for part in (self.title, *self.lines) if part)

    def to_dict(self) -> dict[str, Any]:
        """Return title, text, lines and seed as JSON values."""
        return {"title": self.title, "text": self.text, "lines": list(self.lines), "seed": self.seed}

    def to_file(self) -> bytes:
        """Return the poem as text in UTF-8, its title above it."""
        head = [self.title, ""] if self.title else []
        return "\n".join([*head, *self.lines, ""]).encode()


class PoemOutput(OutputKind):
    """Reads what `deploy.generate.quatrain` ends with; the model's own answers are those of a step on the way there."""

    media = "text/plain"

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Poem]:
        """Return one `Poem` for each row."""
        if "verse" not in arrays:
            raise UsageError("tensors of one step are no poem yet; ask for one by its title: predict")
        rows = zip(*(arrays[name] for name in ("title", "verse", "form", "seed")), strict=True)
        return [
            Poem(_text(title), lines(_text(verse[: LINES * form]), int(form)), int(seed))
            for title, verse, form, seed in rows
        ]


def _text(points: Array) -> str:
    return "".join(chr(point) for point in points.tolist() if point)
