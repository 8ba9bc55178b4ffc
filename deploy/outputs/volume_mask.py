"""Masks of volumes: a class for every voxel, as NIfTI."""

import gzip
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from deploy.arrays import Array
from deploy.errors import InputError, UnsupportedError
from deploy.outputs.kind import Result
from deploy.outputs.pictures import data_url
from deploy.outputs.veil import counted, veiled

if TYPE_CHECKING:
    from PIL import Image

NIFTI = "application/x-nifti"
_GAP = 4  # px between slices


@dataclass(frozen=True)
class VolumeMask(Result):
    """Which class each voxel belongs to.

    mask             uint8 (depth, height, width), indices into `labels`, in voxels of the volume as it came
    probabilities    float32 (classes, depth, height, width), in the size that the network sees, as a rule the volume's
    background       the class that is not drawn; -1: there is none
    """

    mask: Array = field(repr=False, compare=False)
    probabilities: Array = field(repr=False, compare=False)
    labels: tuple[str, ...]
    background: int = 0

    def areas(self) -> dict[str, int]:
        """Return the number of voxels of each class, by label, 0 for those that are not there."""
        return counted(self.mask, self.labels)

    def draw(self, picture: object = None) -> "Image.Image":
        """Return three slices side by side, across each axis the one with the most of what is no background.

        `picture` is the volume: an array (depth, height, width[, channels]), or a file as `predict` takes it.
        """
        from PIL import Image

        grey = np.full(self.mask.shape, 48, np.uint8) if picture is None else _grey(picture, self.mask.shape)
        found = self.mask != self.background
        slices = []
        for axis in range(3):
            across = found.sum(axis=tuple(other for other in range(3) if other != axis))
            place = int(across.argmax()) if across.any() else len(across) // 2
            plane, mask = (np.take(volume, [place], axis).squeeze(axis) for volume in (grey, self.mask))
            pixels = np.repeat(plane[:, :, None], 3, axis=2)
            slices.append(veiled(pixels, mask, self.background, opaque=picture is None))
        return Image.fromarray(_side_by_side(slices))

    def to_file(self, like: object = None) -> bytes:
        """Return gzipped NIfTI (.nii.gz) with class indices as voxels.

        like    a NIfTI file (path or bytes) whose place and voxel size the mask is given; without it, 1 mm voxels, the
                axes being right, anterior and superior, as inputs are brought to

        Raises `UnsupportedError` where nibabel is not installed.
        """
        nibabel = _nibabel()
        affine = np.eye(4) if like is None else _affine(nibabel, like, self.mask.shape)
        data: bytes = nibabel.Nifti1Image(self.mask, affine).to_bytes()
        return gzip.compress(data, mtime=0)  # equal masks give equal bytes

    def line(self) -> str:
        """Return the share of each class that is there."""
        there = {label: count for label, count in self.areas().items() if count}
        return "  ".join(f"{label} {count / self.mask.size:.1%}" for label, count in there.items())

    def to_dict(self) -> dict[str, Any]:
        """Return labels, voxels by label, shape, and the mask as gzipped NIfTI in a data URL."""
        return {
            "labels": list(self.labels),
            "areas": self.areas(),
            "shape": list(self.mask.shape),
            "mask": data_url(self.to_file(), NIFTI),
        }


def _side_by_side(slices: list[Array]) -> Array:
    height = max(len(plane) for plane in slices)
    lowered = [np.pad(plane, ((0, height - len(plane)), (0, _GAP), (0, 0))) for plane in slices]
    return np.concatenate(lowered, axis=1)[:, :-_GAP]


def _grey(picture: object, shape: tuple[int, ...]) -> Array:
    """Return a volume as uint8 of this shape, from its 1st to its 99th percentile."""
    from deploy.inputs.volume import decode_volume

    if not isinstance(picture, np.ndarray):
        picture = decode_volume(cast("bytes | str | os.PathLike[str]", picture))
    volume: Array = picture
    if volume.ndim == 4:
        volume = volume.mean(axis=3)
    if volume.shape != shape:
        raise InputError(
            f"the volume is {volume.shape}, the answer is for one of {shape}; draw on the volume that was answered"
        )
    values = np.nan_to_num(volume.astype(np.float64))
    low, high = np.percentile(values, [1, 99])
    scaled: Array = 255 * (values - low) / max(high - low, 1e-12)
    return scaled.clip(0, 255).astype(np.uint8)


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError:
        raise UnsupportedError(
            "the mask of a volume is a NIfTI file, and writing it needs nibabel: pip install 'onnxway[volumes]'; "
            "`mask` and `areas()` do not"
        ) from None
    return nibabel


def _affine(nibabel: Any, like: object, shape: tuple[int, ...]) -> Array:
    """Return where the voxels of a NIfTI file are once its axes are RAS+."""
    try:
        if isinstance(like, bytes):
            data = gzip.decompress(like) if like.startswith(b"\x1f\x8b") else like
            image = nibabel.Nifti1Image.from_bytes(data)
        else:
            image = nibabel.load(like)
        image = nibabel.as_closest_canonical(image)
    except Exception as error:  # nibabel's readers raise anything on what is no NIfTI
        raise InputError(f"like: not a NIfTI file that nibabel reads ({' '.join(str(error).split())})") from None
    if image.shape[:3] != shape:
        raise InputError(f"like: a volume of {image.shape[:3]} voxels, the mask has {shape}; name the one answered")
    affine: Array = image.affine
    return affine
