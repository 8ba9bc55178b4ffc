"""How new a sample is, in units of a threshold, and where in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.outputs.heat import chart, grey, heated, resized
from deploy.outputs.kind import OutputKind, Result
from deploy.outputs.pictures import PNG, data_url, ground, png

if TYPE_CHECKING:
    from PIL import Image

CSV = "text/csv"
_THRESHOLD = 1.0


@dataclass(frozen=True)
class Anomaly(Result):
    """How unlike the normal samples of training one sample is.

    score         0 or more; 1 is the threshold, above which a sample counts as an anomaly
    is_anomaly    on which side of it the sample is
    score_map     float32, the same for each place, in the same units, at the network's resolution: of a picture
                  (height, width), of a series (time,)
    size          of the picture as it came, (height, width) in px; of a series (time,)
    """

    score: float
    is_anomaly: bool
    score_map: Array = field(repr=False, compare=False)
    size: tuple[int, ...]

    def line(self) -> str:
        """Return the side of the threshold, and how far the score is on it."""
        return f"{'anomaly' if self.is_anomaly else 'normal'}  score {self.score:.2f}, threshold {_THRESHOLD:g}"

    def draw(self, picture: object = None) -> "Image.Image":
        """Return `picture` (path, bytes, PIL image, uint8 array), new places yellow from a score of 0.75, red from 1.5.

        Of a series it is a chart of the scores over time, whatever `picture` is.
        """
        from PIL import Image

        if len(self.size) == 1:
            return Image.fromarray(chart(self.score_map))
        height, width = self.size
        return Image.fromarray(heated(np.asarray(ground(picture, width, height)), self.score_map))

    def to_file(self) -> bytes:
        """Return a grey PNG of the picture's size: values are per cent of the threshold, up to 255.

        Of a series it is CSV with the columns time, where a place begins, in samples of the series, and score.
        """
        if len(self.size) == 1:
            places = len(self.score_map)
            times = [f"{place * self.size[0] / places:g}" for place in range(places)]
            rows = zip(times, self.score_map.astype(str), strict=True)  # as many digits as float32 has
            return "\n".join(["time,score", *map(",".join, rows), ""]).encode()
        height, width = self.size
        return png(grey(resized(self.score_map, width, height)))

    def to_dict(self) -> dict[str, Any]:
        """Return score, side, threshold, size and the map: of pictures as by `to_file`, in a data URL; else numbers."""
        found: dict[str, Any] = {"score": self.score, "is_anomaly": self.is_anomaly, "threshold": _THRESHOLD}
        if len(self.size) == 1:
            return found | {"length": self.size[0], "score_map": self.score_map.tolist()}
        height, width = self.size
        return found | {"width": width, "height": height, "score_map": data_url(self.to_file(), PNG)}


class AnomalyOutput(OutputKind):
    """Reads `score` float32 (N,), `is_anomaly` int64 (N,) and `score_map` float32 (N, height, width) or (N, time)."""

    decided_by: Mapping[str, str] = {"is_anomaly": "score"}

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self.pictures = len(signature.tensors[-1].shape) == 3
        self.media = PNG if self.pictures else CSV

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Anomaly]:
        """Return one `Anomaly` for each row."""
        # A copy: what results hold must not change when the session reuses its buffers, nor when a caller writes.
        maps = arrays["score_map"].copy()
        maps.flags.writeable = False
        shape = next(iter(inputs.values())).shape  # (N, height, width, channels) or (N, channels, time)
        size = shape[1:3] if self.pictures else shape[2:]
        rows = zip(arrays["score"].tolist(), arrays["is_anomaly"].tolist(), maps, strict=True)
        return [Anomaly(score, bool(above), scores, size) for score, above, scores in rows]
