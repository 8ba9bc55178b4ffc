"""Named points in a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.arrays import Array
from deploy.errors import UsageError
from deploy.outputs.kind import OutputKind, Result

if TYPE_CHECKING:
    from PIL import Image

_DOT = 0.008  # radius of a drawn point, as a part of the picture's longer side


@dataclass(frozen=True)
class Point:
    """One point: x and y in px from the picture's upper left corner, and how sure that is.

    confidence    probability in [0, 1] that it is this near, as the task defines that; found: whether it is enough
    """

    name: str
    x: float
    y: float
    confidence: float
    found: bool


@dataclass(frozen=True)
class Points(Result):
    """All points of one picture, in the order of the labels; `result["nose_tip"]` is the point of that name.

    width, height    of the picture as it came, in px
    """

    points: tuple[Point, ...]
    width: int
    height: int

    def __getitem__(self, name: str) -> Point:
        for point in self.points:
            if point.name == name:
                return point
        raise UsageError(f"no point {name!r}; there are {', '.join(point.name for point in self.points)}")

    @property
    def found(self) -> tuple[Point, ...]:
        """Those points of which the network is sure enough; none where a picture shows nothing of the kind."""
        return tuple(point for point in self.points if point.found)

    def line(self) -> str:
        """Return how many points were found, and where the surest is."""
        found = f"{len(self.found)} of {len(self.points)} points found"
        if not self.found:
            return found
        surest = max(self.found, key=lambda point: point.confidence)
        return f"{found}, surest {surest.name} at {surest.x:.1f}, {surest.y:.1f}"

    def to_dict(self) -> dict[str, Any]:
        """Return size and points as JSON values."""
        return {"width": self.width, "height": self.height, "points": [vars(point) for point in self.points]}

    def draw(self, picture: object = None) -> "Image.Image":
        """Return the picture with a dot for each point, full where it is found and a ring where it is not."""
        from PIL import ImageDraw

        from deploy.outputs.pictures import colour, ground

        image = ground(picture, self.width, self.height)
        brush, radius = ImageDraw.Draw(image), max(1.0, _DOT * max(image.size))
        for number, point in enumerate(self.points):
            # Pillow counts from the middle of the first pixel, points from its edge.
            x, y = point.x - 0.5, point.y - 0.5
            box = (x - radius, y - radius, x + radius, y + radius)
            brush.ellipse(box, fill=colour(number) if point.found else None, outline=colour(number))
        return image


class PointsOutput(OutputKind):
    """Reads `points` float32 (N, K, 2) in parts of width and height, `confidence` (N, K) and `found` bool (N, K)."""

    decided_by: Mapping[str, str] = {"found": "confidence"}

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Points]:
        """Return one `Points` for each row, in px of its picture (N, height, width, channels)."""
        height, width = next(iter(inputs.values())).shape[1:3]
        # To float64 first: a coordinate in px is then no further from the tensor's than it must be.
        places = arrays["points"].astype(float) * (width, height)
        names = self.signature.labels
        rows = zip(places.tolist(), arrays["confidence"].tolist(), arrays["found"].tolist(), strict=True)
        return [
            Points(tuple(Point(n, x, y, c, f) for n, (x, y), c, f in zip(names, *row, strict=True)), width, height)
            for row in rows
        ]
