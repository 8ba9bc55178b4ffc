"""The reference's answers to the first test rows, which many checks ask again in other company."""

import hashlib
from collections.abc import Iterator

import numpy as np

from stages.dataset import Array
from stages.verify.material import count
from stages.verify.reference import Feeds, Outputs, Reference


class Known:
    """True and rounded answers to one batch, found again by what its rows hold: a row's answer is its own."""

    def __init__(self, reference: Reference, feeds: Feeds) -> None:
        self._answers = (reference.truth(feeds), reference.rounded(feeds))
        self._places = {digest: place for place, digest in enumerate(_digests(feeds))}

    def get(self, feeds: Feeds) -> tuple[Outputs, Outputs] | None:
        """Return truth and rounded answers to a batch of known rows; None when there are others among them."""
        wanted = [self._places.get(digest) for digest in _digests(feeds)]
        if None in wanted or not self._by_row():
            return None
        rows = np.array(wanted, np.int64)
        truth, rounded = ({name: value[rows] for name, value in part.items()} for part in self._answers)
        return truth, rounded

    def _by_row(self) -> bool:
        rows = (len(self._places),)
        return all(value.shape[:1] == rows for part in self._answers for value in part.values())


def _digests(feeds: Feeds) -> Iterator[bytes]:
    for number in range(count(feeds)):
        yield hashlib.blake2b(b"".join(_content(array[number]) for array in feeds.values())).digest()


def _content(array: Array) -> bytes:
    return f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
