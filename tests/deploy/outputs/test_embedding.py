import numpy as np
import pytest

from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from deploy.outputs import output_kind
from deploy.outputs.embedding import Embedding

SIGNATURE = Signature("embedding", (TensorSpec("embedding", "float32", ("batch", 3)),))


def read(array: np.ndarray) -> list[Embedding]:
    return list(output_kind(SIGNATURE).read({"embedding": array}, {}))


def test_a_result_holds_its_own_vector() -> None:
    array = np.eye(3, dtype=np.float32)
    first, *_ = read(array)
    array[:] = 7
    assert first.vector.tolist() == [1, 0, 0]
    assert not first.vector.flags.writeable
    assert first.to_dict() == {"size": 3, "vector": [1.0, 0.0, 0.0]}
    assert repr(first) == "Embedding(size=3)"


def test_similarity_is_the_cosine() -> None:
    one, two, zero = read(np.array([[3, 4, 0], [4, 3, 0], [0, 0, 0]], np.float32))
    assert one.similarity(two) == pytest.approx(24 / 25)
    assert one.similarity(np.array([-6, -8, 0])) == pytest.approx(-1)
    assert -1 <= one.similarity(one) <= 1
    assert zero.similarity(one) == zero.similarity(zero) == 0


def test_vectors_of_other_models_are_refused() -> None:
    with pytest.raises(UsageError, match=r"shape \(4,\), this one \(3,\)"):
        read(np.eye(3, dtype=np.float32))[0].similarity(np.ones(4))
