"""Payloads to input tensors, by kind of input. What an application holds goes in, what the graph takes comes out.

A kind is a file here with a subclass of `InputKind`, and an entry in `KINDS`; everything that depends on the task stays
in the graph. Training decodes pictures, volumes and texts by the same functions, so that it sees what serving sees.
"""

from deploy.bundle import Signature
from deploy.errors import BundleError
from deploy.inputs.checks import check
from deploy.inputs.image import FORMATS, ImageInput, decode_image
from deploy.inputs.kind import MAX_PIXELS, InputKind
from deploy.inputs.series import SeriesInput
from deploy.inputs.spectral import SpectralInput
from deploy.inputs.tensors import TensorsInput
from deploy.inputs.text import TextInput, encode_text
from deploy.inputs.volume import VolumeInput, decode_volume

__all__ = [
    "FORMATS",
    "KINDS",
    "MAX_PIXELS",
    "InputKind",
    "check",
    "decode_image",
    "decode_volume",
    "encode_text",
    "input_kind",
]

KINDS: dict[str, type[InputKind]] = {
    "image": ImageInput,
    "series": SeriesInput,
    "spectral": SpectralInput,
    "tensors": TensorsInput,
    "text": TextInput,
    "volume": VolumeInput,
}


def input_kind(signature: Signature) -> InputKind:
    """Return the kind that a signature names; `BundleError` for one that this version does not know."""
    try:
        return KINDS[signature.kind](signature)
    except KeyError:
        choices = ", ".join(sorted(KINDS))
        raise BundleError(
            f"input kind {signature.kind!r}: this onnxway knows {choices}; upgrade: pip install -U onnxway"
        ) from None
