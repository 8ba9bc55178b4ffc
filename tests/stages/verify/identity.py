"""The smallest network, one that answers what it was asked, and an examination of any function against it."""

from pathlib import Path
from typing import Any

import numpy as np

from deploy.bundle import Signature, TensorSpec
from stages.observer import Observer
from stages.recipe import Precision, VerifyConfig
from stages.verify.examination import Examination
from stages.verify.material import Material
from stages.verify.reference import Answer, Feeds, Outputs

INPUT = Signature("tensors", (TensorSpec("x", "float32", ("batch", 3), (0.0, 1.0)),))
REAL = TensorSpec("scores", "float32", ("batch", 3))
WHOLE = TensorSpec("index", "int64", ("batch",))
NOISE = 1e-6


class Identity:
    """scores = x, index = its largest column; rounded, every score is NOISE higher."""

    input = INPUT
    yardstick = "noise of one millionth"

    def __init__(self, *outputs: TensorSpec) -> None:
        self.output = Signature("tensors", outputs or (REAL, WHOLE))

    def truth(self, feeds: Feeds) -> Outputs:
        exact = feeds["x"].astype(np.float64)
        return self.answers(exact, exact.argmax(axis=1))

    def rounded(self, feeds: Feeds) -> Outputs:
        return {name: value + NOISE if value.dtype.kind == "f" else value for name, value in self.truth(feeds).items()}

    def at(self, precision: Precision) -> "Identity":
        return self

    def decide(self, outputs: Outputs) -> tuple[Any, Any]:
        if "scores" not in outputs:
            return outputs["index"], np.full(len(outputs["index"]), np.inf)
        ranked = np.sort(outputs["scores"], axis=1)
        return outputs["scores"].argmax(axis=1), ranked[:, -1] - ranked[:, -2]

    def answers(self, scores: Any, index: Any) -> Outputs:
        known = {"scores": scores, "index": index}
        return {spec.name: known[spec.name] for spec in self.output.tensors}


def faithful(feeds: Feeds) -> Outputs:
    return {"scores": feeds["x"].copy(), "index": feeds["x"].argmax(axis=1)}


def examination(
    answer: Answer, rows: Any, targets: Any = None, /, *, reference: Identity | None = None, **config: Any
) -> Examination:
    """An examination of a function on these rows of x."""
    judged = reference or Identity()
    material = Material(INPUT, {"x": np.asarray(rows, np.float32)}, targets=targets)
    settings = VerifyConfig(**{"rows": len(rows), **config})
    return Examination(Path("model.onnx"), "cpu", answer, judged, material, settings, Observer())
