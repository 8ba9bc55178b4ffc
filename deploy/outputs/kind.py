"""What every kind of output is: how output tensors become typed results, and what a result can do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deploy.arrays import Array
from deploy.bundle import Signature
from deploy.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image


class Result:
    """What a prediction is: something with a JSON form and, for some kinds, a picture and a file."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        raise NotImplementedError

    def line(self) -> str:
        """Return the result in one line, for people: of `to_dict` what is no list and no file, or as a kind says it."""
        shown = {key: value for key, value in self.to_dict().items() if not isinstance(value, list | dict)}
        words = {key: f"{value:.4f}" if isinstance(value, float) else str(value) for key, value in shown.items()}
        return "  ".join(f"{key} {word}" for key, word in words.items() if not word.startswith("data:"))

    def draw(self, picture: object = None) -> "Image.Image":
        """Return the result drawn over `picture` (path, bytes, PIL image, uint8 array), or on a plain ground."""
        raise UsageError(f"{type(self).__name__} has no picture; use its fields, or to_dict()")

    def to_file(self) -> bytes:
        """Return the result as a file, of the type that its kind's `media` says."""
        raise UsageError(f"{type(self).__name__} has no file form; use its fields, or to_dict()")


class OutputKind:
    """One kind of output: makes one result for each row.

    media         Content-Type of the files that `Result.to_file` makes; empty where there are none
    decided_by    real numbers (an output's name) by which another output is decided at the same places: where those
                  are near, this may differ between versions by rounding alone
    """

    media: str = ""
    decided_by: Mapping[str, str] = {}

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> Sequence[Result]:
        """Return one result for each row of the output tensors.

        inputs    the input tensors of the same rows, for their sizes; a result must not keep them
        """
        raise NotImplementedError
