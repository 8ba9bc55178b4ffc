"""Volumes: (N, depth, height, width) or (N, depth, height, width, channels), from arrays, .npy and NIfTI files.

The axes of a NIfTI file are brought to the order and directions right, anterior, superior (RAS+): depth, height and
width are then those, whatever way the scanner lay. Training reads its files with `decode_volume` too.
"""

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.arrays import Array
from deploy.errors import InputError, TooLargeError
from deploy.inputs.arraylike import ArrayInput, read_file
from deploy.inputs.kind import MAX_PIXELS
from deploy.inputs.numbers import NPY, read_npy

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

_GZIP = b"\x1f\x8b"
_MAGIC = slice(344, 348)
_NIFTI = (b"n+1\0",)
_MOST_BYTES_A_VOXEL = 8
_HEADER = 2**20


class VolumeInput(ArrayInput):
    """One volume: (depth, height, width), or with the channels behind; with one axis more in front, a batch."""

    example = '"volume.nii.gz"'
    file = "a NIfTI (.nii, .nii.gz) or .npy file"
    filename = "volume.nii.gz"

    def decode(self, data: bytes, what: str) -> Array:
        """Return the volume in the bytes of a file."""
        return _decode(data, what, self.max_pixels)


def decode_volume(payload: bytes | str | os.PathLike[str], *, max_voxels: int = MAX_PIXELS) -> Array:
    """Return the volume in a file, .nii, .nii.gz or .npy told by content, as it is stored, the axes of NIfTI in RAS+.

    A NIfTI file's values are scaled as its header says (float32), and otherwise come in its own dtype. Raises
    `InputError`, `NotFoundError`, and `TooLargeError` by the header.
    """
    if isinstance(payload, bytes):
        return _decode(payload, f"file of {len(payload)} bytes", max_voxels)
    return _decode(read_file(Path(payload)), str(payload), max_voxels)


def _decode(data: bytes, what: str, max_voxels: int) -> Array:
    if data.startswith(NPY):
        return read_npy(data, what, max_voxels)
    if data.startswith(_GZIP):
        data = _unzipped(data, what, max_voxels * _MOST_BYTES_A_VOXEL + _HEADER)
    if data[_MAGIC] not in _NIFTI:
        raise InputError(f"{what}: neither NIfTI (.nii, .nii.gz) nor .npy, or its header is damaged")
    return _nifti(data, what, max_voxels)


def _unzipped(data: bytes, what: str, most: int) -> bytes:
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = reader.decompress(data, most)
    except zlib.error as error:
        raise InputError(f"{what}: damaged or cut short ({error})") from None
    if reader.unconsumed_tail:
        raise TooLargeError(f"{what}: more than {most} bytes when decompressed; make it smaller first")
    return found


def _nifti(data: bytes, what: str, max_voxels: int) -> Array:
    try:
        import nibabel
    except ImportError:
        raise InputError(f"{what}: reading NIfTI needs nibabel: pip install 'onnxway[volumes]'") from None
    try:
        image: Nifti1Image = nibabel.Nifti1Image.from_bytes(data)
        if int(np.prod(image.shape, dtype=object)) <= max_voxels:
            return _voxels(nibabel.as_closest_canonical(image))
    except Exception as error:  # nibabel's readers raise anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{what}: damaged or cut short ({reason})") from None
    raise TooLargeError(f"{what}: {image.shape} voxels, more than {max_voxels}; make it smaller first")


def _voxels(image: Any) -> Array:
    stored = np.asanyarray(image.dataobj)
    voxels = stored.astype(np.float32) if stored.dtype.kind == "f" else stored
    while voxels.ndim > 3 and voxels.shape[-1] == 1:  # time, and more, of one
        voxels = voxels[..., 0]
    return np.ascontiguousarray(voxels)
