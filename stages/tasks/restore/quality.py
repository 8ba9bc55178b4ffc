"""How like a clean picture another one is."""

import numpy as np

from stages.dataset import Array

_LARGEST = 255.0
_WINDOW = 7  # px; smaller pictures have no SSIM


def psnr(pictures: Array, clean: Array) -> Array:
    """Return the peak signal-to-noise ratio of each uint8 picture (N, H, W, C) in dB, float64 (N,).

    10 log10(255^2 / mean squared difference); equal pictures count as if one value in all were wrong by a half.
    """
    apart = np.square(pictures.astype(np.float64) - clean).mean(axis=(1, 2, 3))
    least = 0.25 / clean[0].size
    return np.asarray(10 * np.log10(_LARGEST**2 / np.maximum(apart, least)))


def ssim(pictures: Array, clean: Array) -> float:
    """Return the mean structural similarity of uint8 pictures (N, H, W, C), at most 1; 0 where they are too small.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004), as torchmetrics has
    it, with windows of 7 x 7 px.
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(clean.shape[1:3]) < _WINDOW:
        return 0.0
    ours, theirs = (torch.from_numpy(values).permute(0, 3, 1, 2).float() for values in (pictures, clean))
    found = structural_similarity_index_measure(
        ours, theirs, gaussian_kernel=False, kernel_size=_WINDOW, data_range=_LARGEST
    )
    return float(found)
