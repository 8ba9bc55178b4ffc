"""Sources of masks: on made-up files, and on the real ones where they lie."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages import discover
from stages.data.mask_folder import mask_folder
from stages.data.read.archive import read_npz
from stages.data.read.tiles import tiles
from stages.dataset import UNKNOWN, Dataset
from stages.recipe import use
from tests import miniatures
from tests.stages.data.kit import refused

GENERATOR = np.random.default_rng(0)


def sound(data: Dataset) -> None:
    """Hold a dataset of masks to what every source of them promises."""
    info = data.info
    channels = 1 if isinstance(info.sample_shape[-1], int) else 0
    for name in ("train", "validation", "test"):
        split = getattr(data, name)
        assert info.sizes[name] == len(split) == len(split.inputs)
        assert split.inputs.dtype == split.targets.dtype == np.uint8
        assert split.targets.shape == split.inputs.shape[: split.inputs.ndim - channels]
        values = set(np.unique(split.targets).tolist()) - {UNKNOWN}
        assert values <= set(range(len(info.labels)))
    assert info.counts == ()
    assert len(info.digest) == 64
    assert info.licence


@settings(deadline=None, max_examples=60)
@given(
    sides=st.lists(st.integers(1, 12), min_size=2, max_size=3),
    side=st.integers(1, 6),
    stride=st.integers(1, 6),
    channels=st.sampled_from([None, 1, 3]),
)
def test_tiles_cover_every_place_and_stay_with_their_mask(
    sides: list[int], side: int, stride: int, channels: int | None
) -> None:
    size = int(np.prod(sides))
    numbers = (1 + np.arange(size, dtype=np.uint32)).reshape(sides)
    pixels = numbers if channels is None else np.repeat(numbers[..., None], channels, axis=-1)
    stride = min(stride, side)
    cut, masks = tiles(pixels, (numbers % 200).astype(np.uint8), (side,) * len(sides), (stride,) * len(sides))
    first = cut if channels is None else cut[..., 0]
    assert masks.shape == first.shape == (len(cut), *(side,) * len(sides))
    assert set(np.unique(first).tolist()) - {0} == set(range(1, size + 1))
    assert np.array_equal(masks, np.where(first == 0, UNKNOWN, first % 200))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("miniatures")
    miniatures.write_all(folder)
    return folder


def read(root: Path, name: str, **options: Any) -> Dataset:
    data: Dataset = discover.call("data", use(name, **options), root)
    return data


def test_nuclei_are_split_by_place(root: Path) -> None:
    data = read(root, "nuclei", tile=16, stride=8)
    sound(data)
    assert data.info.sizes == {"train": 7 * 15 + 3 * 7, "validation": 8, "test": 16}
    arrays = read_npz(root / "medical2d" / "stardist_nuclei_2d3d.npz")
    quadrant, _ = tiles(arrays["img2d"][64:, 64:].clip(0, 255), arrays["mask2d"][64:, 64:], (16, 16), (16, 16))
    assert np.array_equal(data.test.inputs[..., 0], quadrant)
    assert 0 < data.test.targets.mean() < 0.5
    other = read(root, "nuclei", tile=32, stride=32)
    assert other.info.digest != data.info.digest
    refused(lambda: read(root, "nuclei", tile=0), "data.tile=0", "1 or more")


def test_tissue_is_split_by_slabs(root: Path) -> None:
    data = read(root, "mni_tissue", size=8, planes=6, stride=4)
    sound(data)
    assert data.train.inputs.any(axis=(1, 2, 3)).all()  # type: ignore[union-attr]
    assert {0, 1, 2} <= set(np.unique(data.test.targets).tolist())
    inputs: Any = data.test.inputs
    assert not data.test.targets[inputs == 0].any()
    refused(lambda: read(root, "mni_tissue", planes=0), "data.planes=0", "1 or more")


def test_tissue_can_be_tested_on_another_brain(root: Path) -> None:
    data = read(root, "mni_tissue", size=8, planes=6, stride=4)
    other = read(root, "mni_tissue", size=8, planes=6, stride=4, other_brain=True)
    sound(other)
    assert np.array_equal(other.train.inputs, data.train.inputs)
    assert other.info.digest != data.info.digest
    inputs: Any = other.test.inputs
    grey, white = (inputs[other.test.targets == tissue].mean() for tissue in (1, 2))
    assert inputs[other.test.targets == 0].mean() < grey < white


@pytest.mark.parametrize(
    ("name", "file"),
    [("nuclei", "medical2d/stardist_nuclei_2d3d.npz"), ("mni_tissue", "volumes/mni152_t1_gmwm_2mm.npz")],
)
def test_missing_files_are_named_with_what_to_do(tmp_path: Path, name: str, file: str) -> None:
    refused(lambda: read(tmp_path, name), f"{tmp_path / file}: missing", "--data-root")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("nuclei", {"train": 442, "validation": 8, "test": 16}),
        ("mni_tissue", {"train": 127, "validation": 12, "test": 24}),
    ],
)
def test_the_real_files(real_data: Path, name: str, sizes: dict[str, int]) -> None:
    data = read(real_data, name)
    sound(data)
    assert data.info.sizes == sizes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty pictures of several sizes, JPEG and PNG, with masks of three classes."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(20):
        height, width = GENERATOR.integers(10, 40, 2)
        mask = GENERATOR.integers(0, 3, (height, width), dtype=np.uint8)
        write(tmp_path / "masks" / f"{number:02}.png", mask)
        suffix = "jpg" if number % 2 else "png"
        write(tmp_path / "images" / f"{number:02}.{suffix}", np.repeat(mask[..., None] * 100, 3, axis=2))
    return tmp_path


def write(path: Path, pixels: Any) -> None:
    Image.fromarray(pixels).save(path)


def test_a_folder_of_ones_own(folder: Path) -> None:
    data = mask_folder(folder, path=str(folder), tile=16, stride=8)
    sound(data)
    assert data.info.labels == ("background", "class 1", "class 2")
    assert data.info.sample_shape == ("height", "width", 3)
    assert min(data.info.sizes.values()) > 0
    for inputs, targets in zip(data.train.inputs, data.train.targets, strict=True):
        near = np.abs(inputs[..., 0].astype(int) - 100 * targets.astype(int))[targets != UNKNOWN]
        assert np.median(near) < 40  # of JPEG; PNG is exact
    again = mask_folder(folder, path=str(folder), tile=16, stride=8)
    other = mask_folder(folder, path=str(folder), tile=16, stride=8, seed=1)
    assert again.info == data.info
    assert other.info.digest != data.info.digest
    none = mask_folder(folder, path=str(folder), tile=16, stride=16, validation=0, channels=1)
    assert none.info.sizes["validation"] == 0
    sound(none)


def test_names_of_classes_stand_in_a_file(folder: Path) -> None:
    (folder / "labels.txt").write_text("ground\nroad\nhouse\ntree\n")
    assert mask_folder(folder, path=str(folder)).info.labels == ("ground", "road", "house", "tree")
    (folder / "labels.txt").write_text("ground\nroad\n")
    refused(lambda: mask_folder(folder, path=str(folder)), "masks hold the values [0, 1, 2], labels are 2")
    (folder / "labels.txt").write_text("ground\nroad\nroad\n")
    refused(lambda: mask_folder(folder, path=str(folder)), "labels.txt: names a class twice")


def test_black_and_white_masks_are_background_and_object(folder: Path) -> None:
    for file in (folder / "masks").iterdir():
        one = Image.open(file)
        white = (np.asarray(one) > 0).astype(np.uint8) * 255
        one.close()
        Image.fromarray(white).convert("1" if file.stem < "10" else "L").save(file)
    data = mask_folder(folder, path=str(folder), tile=8, stride=8)
    assert data.info.labels == ("background", "class 1")
    assert 0.5 < (data.train.targets == 1).mean() < 0.8


def test_masks_with_a_palette_are_indices_and_255_is_unknown(folder: Path) -> None:
    for file in (folder / "masks").iterdir():
        with Image.open(file) as one:
            pixels = np.array(one)
        pixels[0] = UNKNOWN
        indexed = Image.fromarray(pixels)
        indexed.putpalette([(7 * value) % 256 for value in range(768)])
        indexed.save(file)
    data = mask_folder(folder, path=str(folder), tile=8, stride=8)
    assert data.info.labels == ("background", "class 1", "class 2")
    assert (data.train.targets == UNKNOWN).any()


def test_what_does_not_belong_together_is_named(folder: Path) -> None:
    def refuse(*words: str, **options: Any) -> None:
        refused(lambda: mask_folder(folder, path=str(folder), **options), *words)

    refuse("20 pictures cannot be split", validation=0.5, test=0.5)
    refuse("data.tile=0", tile=0)
    mask = folder / "masks" / "03.png"
    kept = mask.read_bytes()
    mask.unlink()
    refuse("images/03 has none in masks/", "masks/a.png for images/a.jpg")
    mask.write_bytes(b"no picture")
    refuse(f"{mask}: not a picture that can be read")
    write(mask, np.zeros((5, 6, 3), np.uint8))
    refuse(f"{mask}: a mask of mode RGB", "the number of its class")
    write(mask, np.zeros((5, 6), np.uint8))
    refuse("03.jpg: is", "its mask (5, 6)")
    mask.write_bytes(kept)
    picture = folder / "images" / "03.jpg"
    picture.write_bytes(b"no picture")
    refuse(f"{picture}: not a picture")
    (folder / "images" / "03.png").write_bytes(b"")
    refuse("03.png: and 03.jpg have one name")
    refused(lambda: mask_folder(folder, path=str(folder / "nothing")), "no such folder", "--set data.path=FOLDER")


def test_masks_without_any_object_are_too_little(folder: Path) -> None:
    for file in (folder / "masks").iterdir():
        with Image.open(file) as one:
            size = one.size
        write(file, np.zeros(size[::-1], np.uint8))
    refused(lambda: mask_folder(folder, path=str(folder)), "at least two classes")
