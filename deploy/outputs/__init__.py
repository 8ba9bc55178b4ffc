"""Output tensors to typed results, by kind of output.

A kind is a file here with a frozen result class and a subclass of `OutputKind` that makes it, and an entry in `KINDS`;
everything that depends on the task stays in the graph.
"""

from deploy import kinds
from deploy.bundle import Signature
from deploy.outputs.kind import OutputKind, Result

__all__ = ["KINDS", "OutputKind", "Result", "output_kind"]

KINDS = {
    "anomaly": "AnomalyOutput",
    "boxes": "BoxesOutput",
    "classes": "ClassesOutput",
    "embedding": "EmbeddingOutput",
    "mask": "MaskOutput",
    "picture": "PictureOutput",
    "poem": "PoemOutput",
    "points": "PointsOutput",
    "ranking": "RankingOutput",
    "tensors": "TensorsOutput",
}
"""Class by kind; its file has the kind's name, and is imported when a bundle has that kind."""


def output_kind(signature: Signature) -> OutputKind:
    """Return the kind that a signature names; `BundleError` for one that this version does not know."""
    kind: OutputKind = kinds.made("output", KINDS, signature)
    return kind
