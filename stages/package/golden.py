"""Golden samples: rows and answers that every later load of the bundle must reproduce, and the truth beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deploy.errors import OnnxwayError
from deploy.passport import Passport
from deploy.samples import ROW, Sample
from stages.dataset import Array
from stages.verify.cases import all_edges
from stages.verify.material import Material
from stages.verify.places import aligned
from stages.verify.reference import Feeds, Reference, deciding_noise
from stages.verify.session import open_model

_LARGE = 2**20  # bytes of the answers to one made input: maps of very wide pictures would fill the bundle


def golden_samples(
    model: Path, reference: Reference, material: Material, passport: Passport, rows: int, worst: Sequence[Sample] = ()
) -> list[Sample]:
    """Return `rows` test rows spread over all, the edge inputs, and the worst inputs that verification met.

    Each has the file's own answers on the CPU, and the reference's: exact, and rounded as torch rounds. A batch in
    which rounding alone could turn a decision on another machine is left out (of many in a row, as in a mask, those
    places are marked instead). So are edges that have very large answers, that the network cannot take, or on which
    the file is half as far from the truth already as a replay allows.
    """
    answer = open_model(model, "cpu")
    noise = deciding_noise(reference, passport.noise)
    samples: dict[bytes, Sample] = {}
    for feeds, note in _chosen(reference, material, rows, worst):
        try:
            sample = Sample(feeds, answer(feeds), reference.truth(feeds), reference.rounded(feeds), note)
        except (RuntimeError, OnnxwayError):
            if note.startswith(ROW):
                raise
            continue
        if not sample.real and sum(value.nbytes for value in sample.outputs.values()) > _LARGE:
            continue
        if not sample.real and any(
            error > passport.limit / 2 * max(passport.noise.get(name, 0.0), _rms(sample.rounded[name], truth))
            for name, truth in sample.reference.items()
            if (error := _rms(sample.outputs[name], truth))
        ):
            continue
        margin = 4 * passport.limit * max(noise, _own_noise(reference, sample))
        settled = _settled(sample, *reference.decide(sample.outputs), margin)
        if settled is not None:
            key = b"".join(array.tobytes() + str(array.shape).encode() for array in feeds.values())
            samples.setdefault(key, settled)
    return list(samples.values())


def _chosen(
    reference: Reference, material: Material, rows: int, worst: Sequence[Sample]
) -> Iterator[tuple[Feeds, str]]:
    for number in np.unique(np.linspace(0, material.size - 1, rows).astype(int)):
        yield material.row(number), f"{ROW}: {number} of {material.source}"
    for title, feeds in all_edges(reference, material.row(0)):
        yield feeds, f"edge: {title}"
    for sample in worst:
        yield sample.inputs, sample.note


def _settled(sample: Sample, decisions: Array, margins: Array, margin: float) -> Sample | None:
    """Return the sample if no decision is within the margin, with those places marked where rows have many of them.

    None where rounding may change what cannot be marked: a row's only decision, or the order and number of things.
    """
    close = np.asarray(margins <= margin)
    if not close.any():
        return sample
    whole = {name: value for name, value in sample.outputs.items() if value.dtype.kind != "f"}
    if decisions.ndim == 1 or any(value.shape != close.shape for value in whole.values()):
        return None
    return replace(sample, unsure=dict.fromkeys(whole, close))


def _own_noise(reference: Reference, sample: Sample) -> float:
    """Return the rms difference of rounded to exact answers, of the output in whose units margins are."""
    truth, rounded = sample.reference, aligned(reference, sample.rounded, sample.reference)
    return deciding_noise(reference, {name: _rms(rounded[name], exact) for name, exact in truth.items()})


def _rms(values: Array, truth: Array) -> float:
    """Return the rms difference of real values; 0 where the truth is whole numbers, or not finite."""
    if truth.dtype.kind != "f" or not np.isfinite(truth).all():
        return 0.0
    return float(np.sqrt(np.square(values.astype(np.float64) - truth).mean()))
