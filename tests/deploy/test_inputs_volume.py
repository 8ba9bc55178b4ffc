"""Volumes: arrays and files, of which NIfTI needs the extra `volumes`."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.bundle import Signature, TensorSpec
from deploy.errors import InputError, TooLargeError
from deploy.inputs import input_kind
from deploy.inputs.volume import decode_volume
from tests.deploy.test_inputs_arrays import npy

nibabel: Any = pytest.importorskip("nibabel", reason="needs the extra 'volumes'")

_AXES = ("batch", "depth", "height", "width")
VOLUME = input_kind(Signature("volume", (TensorSpec("volume", "uint8", _AXES, (0, 255)),)))
REAL = input_kind(Signature("volume", (TensorSpec("volume", "float32", _AXES),)))
VOXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)


def nifti(voxels: np.ndarray, affine: np.ndarray | None = None) -> bytes:
    data: bytes = nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine).to_bytes()
    return data


@pytest.mark.parametrize("data", [npy(VOXELS), nifti(VOXELS), gzip.compress(nifti(VOXELS))], ids=["npy", "nii", "gz"])
def test_volumes_from_files(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "volume").write_bytes(data)
    for payload in (data, bytearray(data), tmp_path / "volume"):
        assert np.array_equal(VOLUME.arrays(payload)["volume"][0], VOXELS)
    assert np.array_equal(decode_volume(data), VOXELS)
    assert np.array_equal(decode_volume(tmp_path / "volume"), VOXELS)
    assert REAL.arrays(data)["volume"].dtype == np.float32


def test_the_axes_of_nifti_are_right_anterior_superior() -> None:
    turned = np.flip(VOXELS.transpose(2, 0, 1), axis=1)  # stored as superior, left, anterior
    affine = np.array([[0, -1, 0, 2], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    assert np.array_equal(decode_volume(nifti(turned, affine)), VOXELS)


def test_a_scaled_file_comes_as_its_header_says() -> None:
    image = nibabel.Nifti1Image(VOXELS.astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    found = decode_volume(image.to_bytes())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, VOXELS * 0.5 + 10)


def test_time_of_one_is_no_axis() -> None:
    assert np.array_equal(decode_volume(nifti(VOXELS[..., None])), VOXELS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither NIfTI"),
        (b"x" * 400, "neither NIfTI"),
        (nifti(VOXELS)[:-10], "damaged or cut short"),
        (gzip.compress(nifti(VOXELS))[:60], "neither NIfTI|damaged"),
        (b"\x1f\x8b" + b"x" * 20, "damaged or cut short"),
        (nifti(np.full((2, 2, 2), 300, np.int16)), "uint8 cannot hold"),
    ],
)
def test_what_is_no_volume(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        VOLUME.arrays(data)


def test_volumes_that_are_too_large_are_not_decoded() -> None:
    small = input_kind(VOLUME.signature)
    small.max_pixels = 59
    for data in (npy(VOXELS), nifti(VOXELS)):
        with pytest.raises(TooLargeError, match="more than 59"):
            small.arrays(data)
    bomb = gzip.compress(bytes(4 * 2**20))
    with pytest.raises(TooLargeError, match="when decompressed"):
        small.arrays(bomb)
