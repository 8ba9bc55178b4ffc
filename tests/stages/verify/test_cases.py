"""What models are tried on."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deploy.bundle import Signature, TensorSpec
from stages.dataset import Dataset
from stages.verify import cases
from stages.verify.material import Material, batches, count, head, repeated, row

IMAGE = Signature(
    "image", (TensorSpec("image", "uint8", ("batch", "height", "width", 3), (0.0, 255.0), "pixel value"),)
)
SERIES = Signature("series", (TensorSpec("series", "float32", ("batch", 2, "time"), (-3.0, 3.0), "volt"),))


@given(st.lists(st.sampled_from([(2, 3), (4, 1), (2, 2)]), max_size=20), st.integers(1, 5))
def test_batches_keep_every_row_in_order(shapes: list[tuple[int, int]], most: int) -> None:
    rows = [np.full(shape, number) for number, shape in enumerate(shapes)]
    found = [batch["x"] for batch in batches({"x": rows}, most)]
    assert all(len(batch) <= most for batch in found)
    assert [int(row.flat[0]) for batch in found for row in batch] == list(range(len(rows)))
    assert [row.shape for batch in found for row in batch] == shapes


def test_batches_of_one_array() -> None:
    rows = np.arange(10).reshape(10, 1)
    assert [count(batch) for batch in batches({"x": rows, "y": rows}, 4)] == [4, 4, 2]


def test_parts_of_a_batch() -> None:
    feeds = {"x": np.arange(3), "y": np.arange(3) * 2}
    assert head(feeds, 2)["y"].tolist() == [0, 2]
    assert row(feeds, 1)["x"].tolist() == [1]
    assert repeated(feeds, 5)["y"].tolist() == [0, 2, 4, 0, 2]


def test_more_rows_are_as_many_as_wanted_and_in_range(colour_data: Dataset) -> None:
    material = Material.of(colour_data, IMAGE)
    found = [batch["image"] for batch in material.more(1500, 64)]
    assert sum(map(len, found)) == 1500
    assert all(batch.dtype == np.uint8 for batch in found)
    again = [batch["image"] for batch in material.more(1500, 64)]
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_edges_of_images() -> None:
    like = {"image": np.zeros((1, 8, 8, 3), np.uint8)}
    found = {name: feeds["image"] for name, feeds in cases.edges(IMAGE, like)}
    assert found["size 1"].shape == (1, 1, 1, 3)
    assert found["width 1500"].shape == (1, 8, 1500, 3)
    assert found["width 1500, else 1"].shape == (1, 1, 1500, 3)
    assert found["height 1500, else 1"].shape == (1, 1500, 1, 3)
    assert found["all largest"].min() == 255
    assert found["all smallest"].max() == 0
    assert all(batch.dtype == np.uint8 for batch in found.values())


def test_edges_of_another_kind_respect_fixed_sizes_and_range() -> None:
    for name, feeds in cases.edges(SERIES, {"series": np.zeros((1, 2, 50), np.float32)}):
        batch = feeds["series"]
        assert batch.shape[1] == 2, name
        assert batch.dtype == np.float32, name
        assert -3 <= batch.min() <= batch.max() <= 3, name


def test_edges_of_one_input_come_with_rows_of_the_others() -> None:
    two = Signature("pair", (*IMAGE.tensors, *SERIES.tensors))
    like = {"image": np.zeros((3, 8, 8, 3), np.uint8), "series": np.zeros((3, 2, 9), np.float32)}
    for name, feeds in cases.edges(two, like):
        assert len(feeds["image"]) == len(feeds["series"]), name


def test_nasty_images_surround_the_networks_own_size() -> None:
    like = {"image": np.zeros((2, 8, 9, 3), np.uint8)}
    found = {name: feeds["image"] for name, feeds in cases.nasty(IMAGE, like, {"height": 20, "width": 16})}
    board = found["checkerboard"][0, :, :, 0]
    assert board.shape == (8, 9)
    assert (board[0, 0], board[0, 1], board[1, 0], board[1, 1]) == (0, 255, 255, 0)
    assert (found["stripes across height"][0, :, 0, 0] == [0, 255] * 4).all()
    assert np.argwhere(found["last value only"]).tolist() == [[0, 7, 8, 2]]
    assert {"checkerboard 19 x 15", "checkerboard 20 x 16", "checkerboard 21 x 17"} <= set(found)
    assert found["stripes of 127 x 1"].shape == (1, 127, 1, 3)
    assert found["stripes of 1 x 127"].shape == (1, 1, 127, 3)
    assert "denormals" not in found
    assert all(batch.dtype == np.uint8 for batch in found.values())
    unknown = [name for name, _ in cases.nasty(IMAGE, like, {})]
    assert "checkerboard 7 x 8" in unknown


def test_nasty_reals_have_denormals() -> None:
    found = {name: feeds["series"] for name, feeds in cases.nasty(SERIES, {"series": np.ones((1, 2, 50), "f4")}, {})}
    assert 0 < found["denormals"].max() < np.finfo(np.float32).tiny
    assert all(np.abs(batch).max() <= 3 for batch in found.values())


def test_a_row_of_fixed_sizes_keeps_them() -> None:
    table = Signature("table", (TensorSpec("table", "float32", ("batch", 36), (1.0, 9.0)),))
    for _, feeds in cases.nasty(table, {"table": np.ones((1, 36), np.float32)}, {}):
        assert feeds["table"].shape == (1, 36)
        assert 1 <= feeds["table"].min() <= feeds["table"].max() <= 9


def test_what_is_no_number_stands_in_the_second_row_only() -> None:
    like = {"series": np.ones((1, 2, 5), np.float32)}
    found = dict(cases.unfinite(SERIES, like))
    assert len(found) == 6
    for name, feeds in found.items():
        assert np.isfinite(feeds["series"][0]).all(), name
        assert (~np.isfinite(feeds["series"][1])).sum() in (1, 10), name
    assert np.isfinite(like["series"]).all()
    assert not list(cases.unfinite(IMAGE, {"image": np.zeros((1, 2, 2, 3), np.uint8)}))


def test_no_rows() -> None:
    assert cases.empty({"image": np.zeros((4, 2, 2, 3), np.uint8)})["image"].shape == (0, 2, 2, 3)
