"""Boxes around things in a picture, with what they are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deploy.arrays import Array
from deploy.outputs.kind import OutputKind, Result

if TYPE_CHECKING:
    from PIL import Image

_NAMED = 6  # boxes that a line names


@dataclass(frozen=True)
class Box:
    """One thing: its label, and a box from (x1, y1) to (x2, y2) in px from the picture's upper left corner.

    score    in [0, 1]: how much of the thing and of the box, taken together, is expected to be in both
    """

    label: str
    index: int
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Boxes(Result):
    """All things that were found in one picture, those with the best scores first; there may be none.

    width, height    of the picture as it came, in px
    """

    boxes: tuple[Box, ...]
    width: int
    height: int

    def above(self, score: float) -> "Boxes":
        """Return the same with those boxes only that have a better score; all have the graph's least one at least."""
        return replace(self, boxes=tuple(box for box in self.boxes if box.score > score))

    def line(self) -> str:
        """Return how many boxes there are, and what is in the best of them."""
        best = ", ".join(f"{box.label} {box.score:.0%}" for box in self.boxes[:_NAMED])
        return (
            f"{len(self.boxes)} found" + (f": {best}" if best else "") + (", ..." if len(self.boxes) > _NAMED else "")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return size and boxes as JSON values."""
        return {"width": self.width, "height": self.height, "boxes": [vars(box) for box in self.boxes]}

    def draw(self, picture: object = None) -> "Image.Image":
        """Return the picture with every box, its label and its score; colours are those of the classes."""
        from PIL import ImageDraw

        from deploy.outputs.pictures import colour, ground

        image = ground(picture, self.width, self.height)
        brush, line = ImageDraw.Draw(image), max(1, round(0.004 * max(image.size)))
        size = max(9, round(0.03 * max(image.size)))
        for box in reversed(self.boxes):  # the best last, so that nothing hides it
            # Pillow counts from the middle of the first pixel and draws the last one too; boxes end at its edge.
            x1, y1, x2, y2 = round(box.x1), round(box.y1), round(box.x2) - 1, round(box.y2) - 1
            brush.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=colour(box.index), width=line)
            words = f"{box.label} {box.score:.0%}"
            _, _, width, height = brush.textbbox((0, 0), words, anchor="lt", font_size=size)
            # Above the box and inside of the picture; in the box where there is no room above.
            x, y = max(0, min(x1, image.width - int(width))), y1 - int(height) if y1 >= height else y1
            brush.rectangle((x, y, x + width - 1, y + height - 1), fill=colour(box.index))
            brush.text((x, y), words, fill="black", anchor="lt", font_size=size)
        return image


class BoxesOutput(OutputKind):
    """Reads `boxes` float32 (N, D, 4), `scores` (N, D), `class_index` int64 (N, D) and `count` int64 (N,).

    Boxes are x1, y1, x2, y2 in px or, with the option `relative`, in parts of the picture's width and height; rows
    after count are no boxes.
    """

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Boxes]:
        """Return one `Boxes` for each row, in px of its picture (N, height, width, channels)."""
        height, width = next(iter(inputs.values())).shape[1:3]
        unit = (width, height, width, height) if self.signature.options["relative"] else (1, 1, 1, 1)
        # To float64 first: a coordinate in px is then no further from the tensor's than it must be.
        corners = (arrays["boxes"].astype(float) * unit).tolist()
        labels = self.signature.labels
        rows = zip(
            arrays["count"].tolist(), arrays["class_index"].tolist(), arrays["scores"].tolist(), corners, strict=True
        )
        return [
            Boxes(
                tuple(
                    Box(labels[i], i, s, *box) for i, s, box in zip(classes[:n], scores[:n], places[:n], strict=True)
                ),
                width,
                height,
            )
            for n, classes, scores, places in rows
        ]
