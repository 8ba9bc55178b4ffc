"""Files with a fixed batch answer any number of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError
from deploy.rows import by_batch, filled_up, fixed_batch, freed, in_parts


def spec(*shape: int | str) -> TensorSpec:
    return TensorSpec("x", "float32", shape)


@given(st.integers(1, 20), st.integers(1, 7))
def test_any_number_of_rows_goes_through_in_batches_of_one_size(rows: int, batch: int) -> None:
    seen: list[int] = []

    def run(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(len(arrays["x"]))
        return {"y": arrays["x"] * 2, "i": arrays["x"][:, 0].astype(np.int64)}

    x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    answer = by_batch(run, batch)({"x": x})
    assert seen == [batch] * -(-rows // batch)
    assert np.array_equal(answer["y"], x * 2)
    assert np.array_equal(answer["i"], x[:, 0].astype(np.int64))


def test_what_is_filled_up_repeats_the_last_row_and_is_cut_off() -> None:
    seen: list[np.ndarray] = []
    arrays = {"x": np.array([[1.0], [2.0]])}
    answer = filled_up(lambda batch: (seen.append(batch["x"]), {"y": batch["x"] + 1})[1], arrays, 4)
    assert seen[0].tolist() == [[1], [2], [2], [2]]
    assert answer["y"].tolist() == [[2], [3]]


@pytest.mark.parametrize("rows", [2, 4])
def test_what_needs_no_change_is_not_copied(rows: int) -> None:
    x = np.zeros((rows, 3))
    same = lambda arrays: {"same": np.array([arrays["x"] is x])}  # noqa: E731
    assert in_parts(same, {"x": x}, 4)["same"]
    assert filled_up(same, {"x": x}, rows)["same"]


def test_no_rows_are_refused() -> None:
    with pytest.raises(InputError, match="the model takes 4 at a time"):
        by_batch(dict, 4)({"x": np.zeros((0, 3), np.float32)})


@pytest.mark.parametrize(
    ("inputs", "outputs", "batch"),
    [
        ([spec(3, 4)], [spec(3, 5), spec(3)], 3),
        ([spec(1, 4)], [spec(1, "boxes", 4)], 1),
        ([spec("batch", 4)], [spec("batch", 5)], None),
        ([spec(3, 4)], [spec("boxes", 4)], None),
        ([spec(3, 4)], [spec(2, 4)], None),
        ([spec(3, 4)], [spec()], None),
        ([spec("?", 4)], [spec("?", 4)], None),
    ],
)
def test_a_batch_is_the_number_that_all_tensors_begin_with(
    inputs: list[TensorSpec], outputs: list[TensorSpec], batch: int | None
) -> None:
    assert fixed_batch(inputs, outputs) == batch


def test_callers_see_a_free_first_axis() -> None:
    assert freed(Signature("tensors", (spec(3, 4, "n"), spec(3)))).tensors == (spec("batch", 4, "n"), spec("batch"))
