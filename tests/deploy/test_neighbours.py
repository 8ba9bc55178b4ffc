from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deploy.errors import InputError, NotFoundError, UsageError
from deploy.neighbours import Neighbours
from deploy.outputs.embedding import Embedding

VECTORS = np.array([[1, 0], [0, 2], [3, 3], [-1, 0]], np.float32)


def test_the_nearest_come_first_with_their_names() -> None:
    kept = Neighbours(VECTORS, ["east", "north", "between", "west"])
    found = kept.search(Embedding(np.array([5, 1], np.float32)), 3)
    assert [(one.name, one.row) for one in found] == [("east", 0), ("between", 2), ("north", 1)]
    assert found[0].cosine == pytest.approx(5 / np.sqrt(26))
    assert [one.name for one in Neighbours(VECTORS).search(VECTORS[1], 9)] == ["1", "2", "0", "3"]
    assert len(kept) == 4


@given(
    vectors=arrays.arrays(np.float32, (7, 3), elements=st.floats(-8, 8, width=32)),
    query=arrays.arrays(np.float32, 3, elements=st.floats(-8, 8, width=32)),
)
def test_cosines_fall_and_are_cosines(vectors: np.ndarray, query: np.ndarray) -> None:
    cosines = [one.cosine for one in Neighbours(vectors).search(query, 7)]
    assert len(cosines) == 7
    assert cosines == sorted(cosines, reverse=True)
    assert all(-1 <= cosine <= 1 for cosine in cosines)


def test_a_file_of_vectors_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", vectors=VECTORS, names=np.array(["a", "b", "c", "é"]), model=np.array("5f"))
    kept = Neighbours.load(tmp_path / "v.npz")
    assert kept.names == ("a", "b", "c", "é")
    assert kept.model == "5f"


def test_files_that_are_none_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="pipeline embed REF"):
        Neighbours.load(tmp_path / "v.npz")
    (tmp_path / "v.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="no file of vectors"):
        Neighbours.load(tmp_path / "v.npz")
    np.savez(tmp_path / "v.npz", vectors=VECTORS)
    with pytest.raises(InputError, match="names"):
        Neighbours.load(tmp_path / "v.npz")
    np.save(tmp_path / "v.npy", VECTORS)
    with pytest.raises(InputError, match="no file of vectors"):
        Neighbours.load(tmp_path / "v.npy")


def test_what_cannot_be_searched_is_refused() -> None:
    for vectors in (np.zeros(3), np.zeros((0, 3)), np.array([[np.nan]])):
        with pytest.raises(UsageError, match="expected one or more"):
            Neighbours(vectors)
    with pytest.raises(UsageError, match="3 names for 4 vectors"):
        Neighbours(VECTORS, ["a", "b", "c"])
    with pytest.raises(InputError, match=r"expected \(2,\)"):
        Neighbours(VECTORS).search(np.zeros(3))
    with pytest.raises(InputError, match="finite"):
        Neighbours(VECTORS).search(np.array([np.nan, 0]))
    with pytest.raises(UsageError, match="count=0"):
        Neighbours(VECTORS).search(VECTORS[0], 0)
