import base64
import dataclasses
import gzip
import io
import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError, UnsupportedError
from deploy.outputs import output_kind
from deploy.outputs.mask import Mask
from deploy.outputs.veil import enlarged
from deploy.outputs.volume_mask import VolumeMask

LABELS = ("background", "cell", "wall")


def kind(axes: tuple[str, ...] = ("height", "width"), background: int = 0) -> Any:
    specs = (
        TensorSpec("probabilities", "float32", ("batch", len(LABELS), *axes)),
        TensorSpec("class_index", "uint8", ("batch", *axes)),
    )
    return output_kind(Signature("mask", specs, LABELS, {"background": background}))


def read(mask: Any, background: int = 0) -> Any:
    """One result, of probabilities that are sure of the mask."""
    mask = np.asarray(mask, np.uint8)[None]
    axes = ("depth", "height", "width")[-(mask.ndim - 1) :]
    probabilities = np.moveaxis(np.eye(len(LABELS), dtype=np.float32)[mask], -1, 1)
    return kind(axes, background).read({"probabilities": probabilities, "class_index": mask}, {})[0]


MASK = [[0, 0, 1, 1], [0, 2, 1, 1], [0, 0, 0, 0]]


def test_a_result_is_the_mask_its_areas_and_its_labels() -> None:
    result = read(MASK)
    assert isinstance(result, Mask)
    assert result.mask.tolist() == MASK
    assert result.labels == LABELS
    assert result.areas() == {"background": 7, "cell": 4, "wall": 1}
    assert result.probabilities.shape == (3, 3, 4)


def test_results_hold_what_is_their_own() -> None:
    outputs = {"probabilities": np.zeros((2, 3, 4, 5), np.float32), "class_index": np.zeros((2, 4, 5), np.uint8)}
    one, other = kind().read(outputs, {})
    outputs["class_index"][:] = 2
    assert not one.mask.any()
    assert not other.mask.any()
    with pytest.raises(ValueError, match="read-only"):
        one.mask[0, 0] = 1


@settings(deadline=None, max_examples=30)
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)))
def test_the_png_holds_class_indices(mask: Any) -> None:
    picture = Image.open(io.BytesIO(read(mask).to_file()))
    assert picture.format == "PNG"
    assert picture.mode == "P"
    assert np.array_equal(np.asarray(picture), mask)
    assert np.asarray(picture.convert("RGB"))[mask == 0].sum() == 0


def test_json_has_the_picture_as_a_data_url() -> None:
    plain = json.loads(json.dumps(read(MASK).to_dict()))
    head, _, data = plain.pop("mask").partition(",")
    assert head == "data:image/png;base64"
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).tolist() == MASK
    assert plain == {
        "labels": list(LABELS), "areas": {"background": 7, "cell": 4, "wall": 1}, "width": 4, "height": 3,
    }  # fmt: skip


def test_a_drawing_veils_what_is_no_background() -> None:
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 1
    picture = np.full((9, 9, 3), 100, np.uint8)
    drawn = np.asarray(read(mask).draw(picture)).astype(int)
    assert (drawn[mask == 0][::9] == 100).any()
    assert drawn[0, 0].tolist() == [100, 100, 100]
    inside, edge = drawn[4, 4], drawn[2, 2]
    assert np.abs(edge - 100).sum() > np.abs(inside - 100).sum() > 0
    plain = np.asarray(read(mask).draw())
    assert plain.shape == (9, 9, 3)
    assert (plain[4, 4] == plain[2, 2]).all()


def test_without_a_background_all_classes_are_drawn() -> None:
    drawn = np.asarray(read([[0, 0], [0, 0]], background=-1).draw(np.zeros((2, 2, 3), np.uint8)))
    assert drawn.any()


@pytest.mark.parametrize("mask", [[[0]], [[1]], np.zeros((5, 1), int), np.full((1, 7), 2)])
def test_a_mask_of_one_pixel_or_of_nothing_has_all_forms(mask: Any) -> None:
    result = read(mask)
    assert sum(result.areas().values()) == np.size(mask)
    assert result.draw().size == np.shape(mask)[::-1]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(result.to_file()))), mask)


def test_a_picture_of_another_size_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="4 x 3"):
        read(MASK).draw(np.zeros((4, 4, 3), np.uint8))


VOLUME = np.zeros((4, 5, 6), np.uint8)
VOLUME[1:3, 2:4, 3] = 1
VOLUME[3, 4, 5] = 2


def test_volumes_are_told_by_their_axes() -> None:
    result = read(VOLUME)
    assert isinstance(result, VolumeMask)
    assert np.array_equal(result.mask, VOLUME)
    assert result.areas() == {"background": 115, "cell": 4, "wall": 1}
    assert kind().media == "image/png"
    assert kind(("depth", "height", "width")).media == "application/x-nifti"


def test_a_volume_is_drawn_as_slices_through_what_was_found() -> None:
    drawn = read(VOLUME).draw(np.full((4, 5, 6), 50, np.uint8))
    assert drawn.size == (6 + 4 + 6 + 4 + 5, 5)
    pixels = np.asarray(drawn)
    assert len(np.unique(pixels[:5, :6].reshape(-1, 3), axis=0)) > 1  # slice 1 or 2 of the first axis
    with_channels = read(VOLUME).draw(np.full((4, 5, 6, 2), 50, np.uint8))
    assert with_channels.size == drawn.size
    assert read(np.zeros((1, 1, 1), int)).draw().size == (1 + 4 + 1 + 4 + 1, 1)
    with pytest.raises(InputError, match=r"\(4, 5, 6\)"):
        read(VOLUME).draw(np.zeros((4, 5, 5), np.uint8))


def test_the_nifti_holds_class_indices_in_the_place_of_the_input() -> None:
    nibabel: Any = pytest.importorskip("nibabel", reason="needs the extra 'volumes'")
    result = read(VOLUME)
    file = result.to_file()
    assert file == result.to_file()
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(file))
    assert np.array_equal(np.asarray(image.dataobj), VOLUME)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = (-10, 5, 7)
    like = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), affine).to_bytes()
    for given_file in (like, gzip.compress(like)):
        placed = nibabel.Nifti1Image.from_bytes(gzip.decompress(result.to_file(like=given_file)))
        assert np.array_equal(placed.affine, affine)
    head, _, data = result.to_dict()["mask"].partition(",")
    assert head == "data:application/x-nifti;base64"
    assert base64.b64decode(data) == file
    assert result.to_dict()["shape"] == [4, 5, 6]


def test_what_is_no_nifti_or_another_volume_is_refused_in_words() -> None:
    nibabel: Any = pytest.importorskip("nibabel", reason="needs the extra 'volumes'")
    with pytest.raises(InputError, match="not a NIfTI file"):
        read(VOLUME).to_file(like=b"no")
    other = nibabel.Nifti1Image(np.zeros((4, 5, 7), np.uint8), np.eye(4)).to_bytes()
    with pytest.raises(InputError, match="4, 5, 7"):
        read(VOLUME).to_file(like=other)


def test_without_nibabel_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    result = read(VOLUME)
    with pytest.raises(UnsupportedError, match=r"onnxway\[volumes\]"):
        result.to_file()
    assert result.areas()["cell"] == 4


def test_a_result_is_shown_without_its_arrays() -> None:
    assert repr(read(MASK)) == f"Mask(labels={LABELS!r}, background=0)"
    assert dataclasses.is_dataclass(Mask)


def test_masks_of_a_fixed_size_are_brought_to_that_of_the_picture() -> None:
    small = np.array([[[0, 1], [2, 0]]], np.uint8)
    outputs = {"probabilities": np.zeros((1, 3, 2, 2), np.float32), "class_index": small}
    picture = np.zeros((1, 4, 6, 1), np.uint8)
    result = kind().read(outputs, {"image": picture})[0]
    assert result.mask.tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 0, 0, 0]] * 2
    assert result.draw(picture[0]).size == (6, 4)
    assert result.probabilities.shape == (3, 2, 2)
    one = kind().read(outputs, {"image": picture[:, :1, :1]})[0]
    assert one.mask.tolist() == [[0]]
    volume = np.zeros((1, 2, 2, 2), np.uint8)
    outputs = {"probabilities": np.zeros((1, 3, 2, 2, 2), np.float32), "class_index": volume}
    assert kind(("depth", "height", "width")).read(outputs, {"v": np.zeros((1, 3, 4, 5, 2))})[0].mask.shape == (3, 4, 5)


@given(st.integers(1, 9), st.integers(1, 30))
def test_the_nearest_place_is_taken(before: int, after: int) -> None:
    line = np.arange(before, dtype=np.uint8)[None, None]
    found = enlarged(line, (1, after))[0, 0].astype(int)
    away = np.abs((found + 0.5) / before - (np.arange(after) + 0.5) / after)
    assert away.max() <= 0.5 / before + 1e-12
    assert np.array_equal(enlarged(line, (1, 3 * before))[0, 0], line[0, 0].repeat(3))
