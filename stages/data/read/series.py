"""Series: finite float32 (N, channels, length), each at least two steps long."""

from collections.abc import Sequence

import numpy as np

from stages.dataset import Array
from stages.errors import DataError

SHORTEST = 2


def stacked(where: str, series: Sequence[Array], length: int = 0) -> Array:
    """Return series (channels, T) as one array; with `length`, cut there or go on with the last value up to there.

    Raises `DataError` for different lengths without `length`, for different channels, for NaN and infinity, and for
    lengths of 0 and 1.
    """
    if length and length < SHORTEST:
        raise DataError(f"data.length={length}: expected {SHORTEST} or more, or 0 to take the series as they are")
    for row, one in enumerate(series):
        _require_sound(f"{where}: series {row}", one, len(series[0]))
    lengths = {one.shape[1] for one in series}
    if not length and len(lengths) > 1:
        raise DataError(
            f"{where}: series are {min(lengths)} to {max(lengths)} steps long, and training wants one length; "
            f"cut or continue all to one: --set data.length={int(np.median([one.shape[1] for one in series]))}"
        )
    return np.stack([_fitted(one, length) if length else one for one in series]).astype(np.float32)


def checked(where: str, series: Array) -> Array:
    """Return an array (N, channels, T), or (N, T) for one channel, as float32; the same errors as `stacked`."""
    if series.dtype.kind not in "fiu" or series.ndim not in (2, 3):
        raise DataError(
            f"{where}: series are {series.dtype} of shape {series.shape}, expected numbers (N, channels, length) or "
            "(N, length)"
        )
    whole = series[:, None] if series.ndim == 2 else series
    if not np.isfinite(whole).all() or whole.shape[2] < SHORTEST:
        for row, one in enumerate(whole):
            _require_sound(f"{where}: series {row}", one, whole.shape[1])
    return whole.astype(np.float32)


def _require_sound(where: str, one: Array, channels: int) -> None:
    if len(one) != channels:
        raise DataError(f"{where} has {len(one)} channels, the first has {channels}; all must have as many")
    if one.shape[1] < SHORTEST:
        raise DataError(f"{where} is {one.shape[1]} steps long, expected {SHORTEST} or more; remove it")
    wrong = np.argwhere(~np.isfinite(one))
    if len(wrong):
        channel, step = wrong[0]
        raise DataError(
            f"{where} has {len(wrong)} values that are no numbers, first ({one[channel, step]}) in channel {channel} "
            f"at step {step}; fill or remove them"
        )


def _fitted(one: Array, length: int) -> Array:
    cut = one[:, :length]
    return np.pad(cut, ((0, 0), (0, length - cut.shape[1])), mode="edge")
