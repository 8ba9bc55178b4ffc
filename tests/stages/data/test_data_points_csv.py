import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages import discover
from stages.data.image_folder import Pictures
from stages.dataset import Dataset
from stages.recipe import use
from tests.stages.data.kit import refused

POINTS = ("left_eye_center", "nose_tip")
HEADER = [f"{name}_{axis}" for name in POINTS for axis in "xy"]


def load(path: Path, **options: Any) -> Dataset:
    data: Dataset = discover.call("data", use("points_csv", path=str(path), **options), Path("nowhere"))
    return data


def write(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    path.write_text(text.getvalue())
    return path


def pixels(row: int, side: int = 6) -> str:
    return " ".join(str((row * 7 + place) % 256) for place in range(side * side))


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    """Twenty rows in the competition's form; of each third one the nose is not known."""
    rows = [[row / 8, 3, *(("", "") if row % 3 == 0 else (6, 1.5)), pixels(row)] for row in range(20)]
    return write(tmp_path / "training.csv", [*HEADER, "Image"], rows)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten files, each of another size."""
    (tmp_path / "pictures").mkdir()
    rows: list[list[object]] = []
    for row in range(10):
        name = f"pictures/{row}.png"
        Image.new("RGB", (20 + row, 10), (row, 0, 0)).save(tmp_path / name)
        rows.append([name, 10, 5, "", "", "somebody"])
    return write(tmp_path / "marks.csv", ["file", *HEADER, "by"], rows)


def test_rows_in_the_competition_s_form(kaggle: Path) -> None:
    data = load(kaggle, test=0.3, validation=0.2)
    assert data.info.labels == POINTS
    assert data.info.sample_shape == (6, 6, 1)
    assert data.info.sizes == {"train": 10, "validation": 4, "test": 6}
    assert data.info.counts == ()
    assert data.info.name == "training"
    for split in (data.train, data.validation, data.test):
        assert split.targets.dtype == np.float32
        assert split.targets.shape == (len(split), 2, 2)
        for picture, points in zip(split.inputs, split.targets, strict=True):
            row = round(float(points[0, 0]) * 6 * 8)
            assert picture.ravel().tolist() == [int(level) for level in pixels(row).split()]
            assert points[0].tolist() == pytest.approx([row / 48, 0.5])
            assert np.isnan(points[1]).all() if row % 3 == 0 else points[1].tolist() == [1, 0.25]


def test_the_same_rows_are_drawn_for_the_same_seed_only(kaggle: Path) -> None:
    first, again, other = load(kaggle), load(kaggle), load(kaggle, seed=1)
    assert first.info.digest == again.info.digest != other.info.digest
    np.testing.assert_array_equal(first.test.targets, again.test.targets)


def test_pictures_in_files_keep_their_sizes(folder: Path) -> None:
    data = load(folder, file="file", channels=3)
    assert data.info.sample_shape == ("height", "width", 3)
    assert isinstance(data.train.inputs, Pictures)
    for picture, points in zip(data.train.inputs, data.train.targets, strict=True):
        width = picture.shape[1]
        assert picture[0, 0].tolist() == [width - 20, 0, 0]
        assert points[0].tolist() == pytest.approx([10 / width, 0.5])
        assert np.isnan(points[1]).all()
    before = data.info.digest
    assert load(folder, file="file", channels=3).info.digest == before
    Image.new("RGB", (20, 10), (99, 0, 0)).save(folder.parent / "pictures" / "0.png")
    assert load(folder, file="file", channels=3).info.digest != before


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([1, "", 2, 2, pixels(0)], ("line 3", "'left_eye_center' has only one of x and y")),
        ([1, "one", 2, 2, pixels(0)], ("line 3", "'one' is no place in px")),
        ([1, "inf", 2, 2, pixels(0)], ("line 3", "'inf' is no place in px")),
        ([1, 6.5, 2, 2, pixels(0)], ("line 3", "'left_eye_center' is outside of its picture")),
        ([1, 2, 2, -1, pixels(0)], ("line 3", "'nose_tip' is outside of its picture")),
        ([1, 2, 2, 2, "1 2 3"], ("line 3", "has 3 numbers, expected 36, as in the first row")),
        ([1, 2, 2, 2, ""], ("line 3", "has 0 numbers")),
        ([1, 2, 2, 2, "a b"], ("line 3", "holds other than numbers")),
        ([1, 2, 2, 2, pixels(0).replace("9", "999")], ("line 3", "from 0 to 255")),
    ],
)
def test_a_row_that_cannot_be_is_named(tmp_path: Path, row: list[object], words: tuple[str, ...]) -> None:
    good = [1, 2, 2, 2, pixels(0)]
    path = write(tmp_path / "marks.csv", [*HEADER, "Image"], [good, row, good])
    refused(lambda: load(path), "marks.csv", *words)


def test_what_is_no_square_is_refused_in_the_first_row_too(tmp_path: Path) -> None:
    path = write(tmp_path / "marks.csv", [*HEADER, "Image"], [[1, 2, 2, 2, "1 2 3"]])
    refused(lambda: load(path), "has 3 numbers, expected those of a square")


def test_columns_that_are_missing_are_named(kaggle: Path, tmp_path: Path) -> None:
    refused(lambda: load(kaggle, image="Picture"), "no column 'Picture'", "choose from: Image", "data.image")
    refused(lambda: load(kaggle, file="name"), "no column 'name'", "data.file")
    path = write(tmp_path / "marks.csv", ["nose_x", "Image"], [[1, pixels(0)]])
    refused(lambda: load(path), "column 'nose_x' without 'nose_y'")
    path = write(tmp_path / "marks.csv", ["Image"], [[pixels(0)]])
    refused(lambda: load(path), "no columns <point>_x, <point>_y")


def test_files_that_cannot_be_read_are_named_together(folder: Path) -> None:
    (folder.parent / "pictures" / "3.png").unlink()
    (folder.parent / "pictures" / "7.png").write_bytes(b"no picture")
    refused(lambda: load(folder, file="file"), "2 of 10 pictures", "line 5 (", "3.png", "line 9 (", "7.png")


def test_shares_and_rows_that_leave_nothing_are_refused(kaggle: Path, tmp_path: Path) -> None:
    refused(lambda: load(kaggle, test=0.0), "expected shares that leave some to train")
    path = write(tmp_path / "marks.csv", [*HEADER, "Image"], [[1, 2, 2, 2, pixels(0)]])
    refused(lambda: load(path), "has 1 rows, too few to split")
    unknown: list[list[object]] = [["", "", "", "", pixels(row)] for row in range(10)]
    path = write(tmp_path / "marks.csv", [*HEADER, "Image"], unknown)
    refused(lambda: load(path), "no point of the 7 train pictures is known")
