"""Nuclei of cells under a fluorescence microscope: one picture of 512 x 512 px with 125 nuclei, each marked by hand."""

from pathlib import Path

import numpy as np

from stages.data.read.archive import read_npz
from stages.data.read.tiles import joined, tiles
from stages.dataset import Dataset, Split
from stages.errors import DataError
from stages.split import dataset

_HINT = "make it of stardist's example picture (img2d mask2d), or name another data root: --data-root"


def nuclei(root: Path, *, tile: int = 64, stride: int = 16) -> Dataset:
    """Tiles of the picture and which pixels are a nucleus, uint8 (N, tile, tile, 1) and (N, tile, tile).

    Tested on the lower right quadrant, validated on the lower half of the lower left one, trained on the rest, of which
    tiles overlap (one every `stride` px). The file is in `root`/medical2d.
    """
    if tile < 1 or stride < 1:
        raise DataError(f"nuclei: data.tile={tile}, data.stride={stride}: expected 1 or more")
    arrays = read_npz(root / "medical2d" / "stardist_nuclei_2d3d.npz", ("img2d", "mask2d"), _HINT)
    picture = arrays["img2d"].clip(0, 255).astype(np.uint8)[..., None]
    mask = (arrays["mask2d"] > 0).astype(np.uint8)
    down, right = mask.shape[0] // 2, mask.shape[1] // 2
    lower = down + down // 2

    def part(step: int, *areas: tuple[slice, slice]) -> Split:
        return Split(*joined([tiles(picture[area], mask[area], (tile, tile), (step, step)) for area in areas]))

    train = part(stride, (slice(0, down), slice(None)), (slice(down, lower), slice(0, right)))
    validation = part(tile, (slice(lower, None), slice(0, right)))
    test = part(tile, (slice(down, None), slice(right, None)))
    labels = ("background", "nucleus")
    return dataset("nuclei", ("height", "width", 1), labels, "stardist's example (BSD-3)", (train, validation, test))
