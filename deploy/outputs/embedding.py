"""Vectors that are near where samples are alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deploy.arrays import Array
from deploy.errors import UsageError
from deploy.outputs.kind import OutputKind, Result


@dataclass(frozen=True, eq=False)
class Embedding(Result):
    """A sample's vector, float32 (size,), read-only; of length 1, unless the model answers features as they are."""

    vector: Array

    def __repr__(self) -> str:
        return f"Embedding(size={self.size})"

    @property
    def size(self) -> int:
        """Length of the array."""
        return len(self.vector)

    def similarity(self, other: "Embedding | Array") -> float:
        """Return the cosine with another vector, in [-1, 1]; 0 when one of them is zero."""
        theirs = other.vector if isinstance(other, Embedding) else np.asarray(other)
        if theirs.shape != self.vector.shape:
            raise UsageError(
                f"the other vector has shape {theirs.shape}, this one {self.vector.shape}; compare vectors of one model"
            )
        one, two = self.vector.astype(np.float64), theirs.astype(np.float64)
        lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
        return max(-1.0, min(1.0, float(one @ two) / lengths)) if lengths else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return size and vector as JSON values."""
        return {"size": self.size, "vector": self.vector.tolist()}


class EmbeddingOutput(OutputKind):
    """Reads `embedding` float32 (N, size)."""

    def read(self, arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Embedding]:
        """Return one `Embedding` for each row."""
        # A copy: what results hold must not change when the session reuses its buffers, nor when a caller writes.
        vectors = arrays["embedding"].copy()
        vectors.flags.writeable = False
        return [Embedding(row) for row in vectors]
