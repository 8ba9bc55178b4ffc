"""Golden samples: rows and answers that every later load of the bundle must reproduce, and the truth beside them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from deploy.passport import Passport
from deploy.samples import ROW, Sample
from stages.dataset import Dataset
from stages.verify.cases import edges
from stages.verify.reference import Feeds, Outputs, Reference
from stages.verify.session import open_model


def golden_samples(
    model: Path, reference: Reference, dataset: Dataset, passport: Passport, rows: int, worst: Sequence[Sample] = ()
) -> list[Sample]:
    """Return `rows` test rows spread over the split, the edge inputs, and the worst inputs that verification met.

    Each has the file's own answers on the CPU, and the reference's: exact, and rounded as torch rounds. A batch in
    which rounding alone could turn a decision on another machine is left out.
    """
    answer = open_model(model, "cpu")
    noise = max(passport.noise.values())
    samples: dict[bytes, Sample] = {}
    for feeds, note in _chosen(reference, dataset, rows, worst):
        sample = Sample(feeds, answer(feeds), reference.truth(feeds), reference.rounded(feeds), note)
        margin = 4 * passport.limit * max(noise, _own_noise(sample.reference, sample.rounded))
        if reference.decide(sample.outputs)[1].min() > margin:
            samples.setdefault(
                b"".join(array.tobytes() + str(array.shape).encode() for array in feeds.values()), sample
            )
    return list(samples.values())


def _chosen(reference: Reference, dataset: Dataset, rows: int, worst: Sequence[Sample]) -> Iterator[tuple[Feeds, str]]:
    name = reference.input.tensors[0].name
    test = dataset.test.inputs
    first: Feeds = {name: np.asarray(test[0])[None]}
    for number in np.unique(np.linspace(0, len(test) - 1, rows).astype(int)):
        yield {name: np.asarray(test[number])[None]}, f"{ROW}: {number} of the test split"
    for title, feeds in edges(reference.input, first):
        yield feeds, f"edge: {title}"
    for sample in worst:
        yield sample.inputs, sample.note


def _own_noise(truth: Outputs, rounded: Outputs) -> float:
    """Return the largest rms difference of rounded to exact answers, of all real-valued outputs."""
    found = [0.0]
    for name, exact in truth.items():
        if exact.dtype.kind == "f" and np.isfinite(exact).all():
            found.append(float(np.sqrt(np.square(rounded[name].astype(np.float64) - exact).mean())))
    return max(found)
