"""Payloads to input tensors, by kind of input. What an application holds goes in, what the graph takes comes out.

A kind is a file here with a subclass of `InputKind`, and an entry in `KINDS`; everything that depends on the task stays
in the graph. Training decodes pictures, volumes and texts by the same functions, so that it sees what serving sees.
"""

from deploy import kinds
from deploy.bundle import Signature
from deploy.inputs.checks import check
from deploy.inputs.kind import MAX_PIXELS, InputKind

__all__ = ["KINDS", "MAX_PIXELS", "InputKind", "check", "input_kind"]

KINDS = {
    "history": "HistoryInput",
    "image": "ImageInput",
    "poem": "PoemInput",
    "series": "SeriesInput",
    "spectral": "SpectralInput",
    "tensors": "TensorsInput",
    "text": "TextInput",
    "volume": "VolumeInput",
}
"""Class by kind; its file has the kind's name, and is imported when a bundle has that kind."""


def input_kind(signature: Signature) -> InputKind:
    """Return the kind that a signature names; `BundleError` for one that this version does not know."""
    kind: InputKind = kinds.made("input", KINDS, signature)
    return kind
