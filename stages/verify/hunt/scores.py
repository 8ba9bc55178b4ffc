"""What evolution raises: a number for each row, in units of the pooled rounding noise."""

from collections.abc import Mapping

import numpy as np

from stages.dataset import Array
from stages.verify.hunt.evolve import Score
from stages.verify.material import count
from stages.verify.places import aligned
from stages.verify.reference import Answer, Feeds, Outputs, Reference


def divergence(reference: Reference, noise: Mapping[str, float]) -> Score:
    """Return a score: how far torch float32 is from float64, in units of the pooled noise."""

    def score(feeds: Feeds) -> Array:
        truth = reference.truth(feeds)
        rounded = aligned(reference, reference.rounded(feeds), truth)
        return _largest(feeds, [_ratio(_rms(rounded[name], truth[name]), least) for name, least in noise.items()])

    return score


def noise_ratio(reference: Reference, answer: Answer, noise: Mapping[str, float]) -> Score:
    """Return a score: each row's noise ratio, by its own noise or the pooled one, whichever is larger.

    Infinite where the model answers in another shape, or with NaN or infinity where the truth is finite.
    """

    def score(feeds: Feeds) -> Array:
        truth, found = reference.truth(feeds), answer(feeds)
        rounded = aligned(reference, reference.rounded(feeds), truth)
        if all(name in found and found[name].shape == value.shape for name, value in truth.items()):
            found = aligned(reference, found, truth)
        ratios = []
        for name, least in noise.items():
            if found[name].shape != truth[name].shape:
                return np.full(count(feeds), np.inf)
            own = np.maximum(_rms(rounded[name], truth[name]), least)
            ratios.append(np.where(_finite(truth, name), _ratio(_rms(found[name], truth[name]), own), 0))
        return _largest(feeds, ratios)

    return score


def _rms(values: Array, truth: Array) -> Array:
    """Return the root mean square difference of each row (N,); infinite where it is no number."""
    difference = (values.astype(np.float64) - truth).reshape(len(truth), -1)
    apart: Array = np.sqrt(np.square(difference).mean(1))
    return np.nan_to_num(apart, nan=np.inf)


def _ratio(error: Array, noise: Array | float) -> Array:
    """Return error (N,) by noise; where a detector finds nothing there is none: then 0 without error, else infinite."""
    least = np.broadcast_to(noise, error.shape)
    return np.asarray(np.divide(error, least, out=np.where(error > 0, np.inf, 0.0), where=least > 0))


def _finite(outputs: Outputs, name: str) -> Array:
    finite: Array = np.all(np.isfinite(outputs[name].reshape(len(outputs[name]), -1)), axis=1)
    return finite


def _largest(feeds: Feeds, scores: list[Array]) -> Array:
    return np.max(scores, axis=0) if scores else np.zeros(count(feeds))
