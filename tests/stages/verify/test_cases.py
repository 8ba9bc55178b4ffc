"""What models are tried on."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deploy.bundle import TensorSpec
from stages.verify import cases

IMAGE = TensorSpec("image", "uint8", ("batch", "height", "width", 3), (0, 255), "pixel value")
SERIES = TensorSpec("series", "float32", ("batch", 2, "time"), (-3.0, 3.0), "volt")


@given(st.lists(st.sampled_from([(2, 3), (4, 1), (2, 2)]), max_size=20), st.integers(1, 5))
def test_batches_keep_every_row_in_order(shapes: list[tuple[int, int]], most: int) -> None:
    rows = [np.full(shape, number) for number, shape in enumerate(shapes)]
    found = list(cases.batches(rows, most))
    assert all(len(batch) <= most for batch in found)
    assert [int(row.flat[0]) for batch in found for row in batch] == list(range(len(rows)))
    assert [row.shape for batch in found for row in batch] == shapes


def test_batches_of_one_array() -> None:
    rows = np.arange(10).reshape(10, 1)
    assert [len(batch) for batch in cases.batches(rows, 4)] == [4, 4, 2]


def test_more_rows_are_as_many_as_wanted_and_in_range(colour_data: object) -> None:
    found = list(cases.more_rows(colour_data, 1500, 64, IMAGE))  # type: ignore[arg-type]
    assert sum(map(len, found)) == 1500
    assert all(batch.dtype == np.uint8 for batch in found)
    again = list(cases.more_rows(colour_data, 1500, 64, IMAGE))  # type: ignore[arg-type]
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_edges_of_images() -> None:
    found = dict(cases.edges(IMAGE, np.zeros((1, 8, 8, 3), np.uint8)))
    assert found["size 1"].shape == (1, 1, 1, 3)
    assert found["width 1500"].shape == (1, 8, 1500, 3)
    assert found["width 1500, else 1"].shape == (1, 1, 1500, 3)
    assert found["height 1500, else 1"].shape == (1, 1500, 1, 3)
    assert found["all largest"].min() == 255
    assert found["all smallest"].max() == 0
    assert all(batch.dtype == np.uint8 for batch in found.values())


def test_edges_of_another_kind_respect_fixed_sizes_and_range() -> None:
    for name, batch in cases.edges(SERIES, np.zeros((1, 2, 50), np.float32)):
        assert batch.shape[1] == 2, name
        assert batch.dtype == np.float32, name
        assert -3 <= batch.min() <= batch.max() <= 3, name
