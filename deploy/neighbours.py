"""Nearest neighbours among vectors that were kept: exact, by cosine, with numpy alone.

A search reads all vectors once: 100,000 of 64 numbers take some milliseconds. For millions, give the same vectors to an
approximate index (FAISS, hnswlib), with the inner product as its measure.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from deploy.arrays import Array
from deploy.errors import InputError, NotFoundError, UsageError
from deploy.outputs.embedding import Embedding


@dataclass(frozen=True)
class Neighbour:
    """One of the vectors that were kept: its name, its row and its cosine with the query, in [-1, 1]."""

    name: str
    row: int
    cosine: float


class Neighbours:
    """Vectors (N, size) of one model, by name.

    model    SHA-256 of the bundle that made them, as `Predictor.info.digest` says it; empty when it is not known
    """

    def __init__(self, vectors: Array, names: Sequence[str] = (), model: str = "") -> None:
        """Keep the vectors, each brought to length 1; names are row numbers where there are none."""
        vectors = np.asarray(vectors, np.float32)
        if vectors.ndim != 2 or not len(vectors) or not np.isfinite(vectors).all():
            raise UsageError(f"vectors of shape {vectors.shape}: expected one or more of (N, size), all finite")
        if len(names) not in (0, len(vectors)):
            raise UsageError(f"{len(names)} names for {len(vectors)} vectors; give one for each, or none")
        self.names = tuple(map(str, names)) or tuple(map(str, range(len(vectors))))
        self.model = model
        self._unit = _unit(vectors)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `pipeline embed --out` wrote: an .npz file with `vectors`, `names` and `model`."""
        try:
            with Path(path).open("rb") as file:
                archive = np.load(file, allow_pickle=False)
                arrays = {name: archive[name] for name in ("vectors", "names", "model")}
        except FileNotFoundError:
            raise NotFoundError(f"{path}: no such file; write it: pipeline embed REF FILES --out {path}") from None
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: no file of vectors ({error}); write it anew: pipeline embed") from None
        return cls(arrays["vectors"], arrays["names"].tolist(), str(arrays["model"]))

    def __len__(self) -> int:
        return len(self._unit)

    def search(self, query: Embedding | Array, count: int = 5) -> list[Neighbour]:
        """Return the `count` nearest to a vector (size,), nearest first; all of them when there are fewer."""
        vector = np.asarray(query.vector if isinstance(query, Embedding) else query, np.float32)
        size = self._unit.shape[1]
        if vector.shape != (size,) or not np.isfinite(vector).all():
            raise InputError(f"a query of shape {vector.shape}: expected ({size},) finite numbers, as the vectors kept")
        if count < 1:
            raise UsageError(f"search(count={count}): expected 1 or more")
        cosines = self._unit @ _unit(vector[None])[0]
        order = np.argsort(-cosines, kind="stable")[:count]
        return [Neighbour(self.names[row], row, float(np.clip(cosines[row], -1, 1))) for row in order.tolist()]


def _unit(vectors: Array) -> Array:
    """Return vectors (N, size) of length 1, zero ones as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Array = vectors / np.where(lengths > 0, lengths, 1)
    return unit
