"""Golden samples: rows and answers that every later load of the bundle must reproduce, and the truth beside them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deploy.errors import BundleError, OnnxwayError
from deploy.passport import Passport
from deploy.samples import ROW, Sample
from stages.dataset import Array
from stages.verify.cases import all_edges
from stages.verify.material import Material
from stages.verify.places import aligned
from stages.verify.reference import Answer, Feeds, Reference, deciding_noise
from stages.verify.session import open_model

_LARGE = 2**20  # bytes of the answers to one made input: maps of very wide pictures would fill the bundle
_MORE = 64  # test rows that are tried beyond those asked for


def golden_samples(
    model: Path, reference: Reference, material: Material, passport: Passport, rows: int, worst: Sequence[Sample] = ()
) -> list[Sample]:
    """Return `rows` test rows spread over all, the edge inputs, and the worst inputs that verification met.

    Each has the file's own answers on the CPU, and the reference's: exact, and rounded as torch rounds. A batch in
    which rounding alone could turn a decision on another machine is left out (of many in a row, as in a mask, those
    places are marked instead). So are edges that have very large answers, that the network cannot take, or on which
    the file is half as far from the truth already as a replay allows.

    Where test rows are left out, others take their place; where all of them are answered with nothing, like pictures
    in which a detector finds no thing, one more is looked for that is not. `BundleError` when no row can be taken.
    """
    judge = _Judge(open_model(model, "cpu"), reference, passport)
    real = _rows(judge, material, rows)
    if not real:
        raise BundleError(
            f"golden samples: none of {min(material.size, rows + _MORE)} test rows can be one, each has a decision "
            "that rounding may turn on another machine; train longer, until it is surer, or add test data"
        )
    edges = ((feeds, f"edge: {title}") for title, feeds in all_edges(reference, material.row(0)))
    samples = {_key(sample): sample for sample in real}
    for feeds, note in itertools.chain(edges, ((sample.inputs, sample.note) for sample in worst)):
        try:
            sample = judge.settled(feeds, note)
        except (RuntimeError, OnnxwayError):
            continue
        if sample is not None and (sample.real or judge.repeatable(sample)):
            samples.setdefault(_key(sample), sample)
    return list(samples.values())


def _rows(judge: "_Judge", material: Material, wanted: int) -> list[Sample]:
    """Return as many test rows as are wanted, or one more: some are left out, and one at least must show something."""
    kept: list[Sample] = []
    for number in _spread(material.size, wanted)[: wanted + _MORE]:
        shown = any(map(_shows, kept))
        if len(kept) >= wanted and shown:
            break
        sample = judge.settled(material.row(number), f"{ROW}: {number} of {material.source}")
        if sample is not None and (len(kept) < wanted or _shows(sample)):
            kept.append(sample)
    return kept


def _spread(size: int, wanted: int) -> list[int]:
    """Return the numbers of all rows: first those wanted, spread evenly, then the others by chance."""
    first = np.unique(np.linspace(0, size - 1, wanted).astype(int))
    others = np.setdiff1d(np.arange(size), first)
    return [*first.tolist(), *np.random.default_rng(0).permutation(others).tolist()]


def _shows(sample: Sample) -> bool:
    """Tell whether every output of real numbers is more than zeros."""
    return all(value.any() for value in sample.outputs.values() if value.dtype.kind == "f")


def _key(sample: Sample) -> bytes:
    return b"".join(array.tobytes() + str(array.shape).encode() for array in sample.inputs.values())


@dataclass(frozen=True)
class _Judge:
    """Makes samples, and says which of them another machine will repeat."""

    answer: Answer
    reference: Reference
    passport: Passport

    def settled(self, feeds: Feeds, note: str) -> Sample | None:
        """Return the sample, marked where decisions are unsure; None where rounding may turn what cannot be marked."""
        truth, rounded = self.reference.truth(feeds), self.reference.rounded(feeds)
        sample = Sample(feeds, self.answer(feeds), truth, rounded, note)
        noise = max(deciding_noise(self.reference, self.passport.noise), _own_noise(self.reference, sample))
        return _settled(sample, *self.reference.decide(sample.outputs), 4 * self.passport.limit * noise)

    def repeatable(self, sample: Sample) -> bool:
        """Tell whether the answers to a made input are small, and far closer to the truth than a replay allows."""
        noise, limit = self.passport.noise, self.passport.limit
        return sum(value.nbytes for value in sample.outputs.values()) <= _LARGE and all(
            error <= limit / 2 * max(noise.get(name, 0.0), _rms(sample.rounded[name], truth))
            for name, truth in sample.reference.items()
            if (error := _rms(sample.outputs[name], truth))
        )


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
