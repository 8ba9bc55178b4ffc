"""Two brains (T1, 2 mm) in one space, MNI's: ch2, one man of 27 scans, and MNI152, the mean of 152 people."""

from pathlib import Path

import numpy as np

from stages.data.read.archive import read_npz
from stages.dataset import Array

LICENCE = "ch2 and AAL from mricron (BSD-3); MNI152 from nilearn (BSD, MNI's terms)"
OFFSET = (4, 4, 0)
"""In voxels, of the first voxel of ch2 in MNI152."""
_HINT = "make it of mricron-data and nilearn (t1 label), or name another data root: --data-root"


def ch2(root: Path) -> dict[str, Array]:
    """Return `t1` uint8 (91, 109, 91), skull and all, and `label`, the 116 regions of the AAL atlas, 0 elsewhere."""
    return read_npz(root / "volumes" / "ch2_aal_2mm.npz", ("t1", "label"), _HINT)


def mni152(root: Path) -> dict[str, Array]:
    """Return `t1` uint8 (99, 117, 95), 0 outside of the brain, and `label`: 1 grey matter, 2 white, 0 what else."""
    return read_npz(root / "volumes" / "mni152_t1_gmwm_2mm.npz", ("t1", "label"), _HINT)


def as_ch2(volume: Array, shape: tuple[int, ...]) -> Array:
    """Return the part of a volume of MNI152 that is at the places of ch2, which has this shape."""
    return volume[tuple(slice(start, start + size) for start, size in zip(OFFSET, shape, strict=True))]


def even(volume: Array, inside: Array) -> Array:
    """Return uint8 with mean 120 and deviation 40 of the voxels `inside`: T1 has no unit, each scan its own."""
    found: Array = np.clip(120 + 40 * (volume - inside.mean()) / inside.std(), 0, 255).round().astype(np.uint8)
    return found
