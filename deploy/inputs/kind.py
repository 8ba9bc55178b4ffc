"""What every kind of input is: a signature, and how what an application holds becomes the tensors of it."""

import base64
import binascii
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.errors import InputError
from deploy.inputs.checks import Plain, check
from deploy.turns import Talk

MAX_PIXELS = 64 * 2**20
"""Pictures and volumes with more pixels are refused by their header, before anything is decoded."""


class InputKind:
    """One kind of input: `arrays` makes a batch from a payload, `check` looks at tensors from elsewhere.

    max_pixels    that a picture or a volume may have
    example       an argument of `Predictor.predict`, as code
    file          what a file with one sample is, in words, and `filename` one's name; empty where there is none
    media         Content-Types of such files
    texts         a string is a sample, not a file in base64
    objects       keys that a JSON object may have which is a sample as it stands; empty where none is
    finite        NaN and infinity are refused
    talks         an answer takes several runs, see `converse`
    """

    example: ClassVar[str] = "payload"
    file: ClassVar[str] = ""
    filename: ClassVar[str] = ""
    media: ClassVar[tuple[str, ...]] = ("application/octet-stream",)
    texts: ClassVar[bool] = False
    objects: ClassVar[tuple[str, ...]] = ()
    finite: ClassVar[bool] = True
    talks: ClassVar[bool] = False

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.max_pixels = MAX_PIXELS
        self._plain = Plain(signature.tensors[0]) if len(signature.tensors) == 1 else None
        self._real = [spec.name for spec in signature.tensors if self.finite and spec.dtype.startswith("float")]

    def is_batch(self, payload: object) -> bool:
        """Return whether the payload holds several samples, so that a list of results is expected."""
        return False

    def arrays(self, payload: object) -> dict[str, Array]:
        """Return the input tensors by name, a batch of one for a single payload; `InputError` when it is no payload."""
        raise NotImplementedError

    def converse(self, payload: object) -> Talk:
        """Return the talk by which a payload is answered: one run, unless a kind needs more (`deploy.turns`)."""
        return (yield self.arrays(payload))

    def check(self, arrays: Mapping[str, Array]) -> int:
        """Return the number of rows; `InputError` names the tensor, what came and what was expected."""
        rows = (self._plain.rows(arrays) if self._plain else 0) or check(self.signature, arrays)
        for name in self._real:
            require_finite(name, arrays[name])
        return rows

    def from_json(self, name: str, words: object) -> object:
        """Return the payload that a JSON string, or a list of them, stands for: the bytes of a file in base64."""
        if not isinstance(words, str) or not self.file:
            file = f" or {self.file} in base64" if self.file else ""
            raise InputError(f"input {name!r}: got text, expected a list of numbers{file}")
        if words.startswith("data:"):
            words = words.partition(",")[2]
        try:
            return base64.b64decode(words, validate=True)
        except (binascii.Error, ValueError):
            raise InputError(f"input {name!r}: got a string that is not base64, expected {self.file} in it") from None


def require_finite(name: str, array: Array) -> None:
    """Raise `InputError` for NaN and infinity, with the first row and place that holds one."""
    finite = np.isfinite(array)
    if finite.all():
        return
    row, *place = (int(index[0]) for index in np.nonzero(~finite))
    value = array[row, *place]
    raise InputError(
        f"input {name!r}: holds {value:g} in row {row} at {place}, expected finite numbers; fill in or leave out "
        "what is missing before it comes here"
    )
