"""The inputs that a model answered worst, kept for the bundle: what was hard once is asked again on every machine."""

from collections.abc import Iterator

import numpy as np

from deploy.samples import Sample
from stages.dataset import Array
from stages.verify.compare import malformations
from stages.verify.material import head, row
from stages.verify.places import aligned
from stages.verify.reference import Answer, Reference
from stages.verify.worst import Worst

_LOOKED_AT = 8  # rows of a batch


def regression_samples(worst: Worst, answer: Answer, reference: Reference) -> Iterator[Sample]:
    """Yield the worst row of each batch with the answers of model and reference; malformed ones are left out.

    Of large batches only the first rows are looked at: the float64 twin is slow, and hunted batches are small.
    """
    for batch in worst.batches:
        feeds = head(batch.feeds, _LOOKED_AT)
        found, truth = answer(feeds), reference.truth(feeds)
        if malformations(reference.output, found, truth):
            continue
        found = aligned(reference, found, truth)
        errors = [_errors(found[name], exact) for name, exact in truth.items() if exact.dtype.kind == "f"]
        one = row(feeds, int(np.argmax(np.max(errors, axis=0))) if errors else 0)
        note = f"worst: {batch.where}, {batch.score:.3g} times the noise"
        yield Sample(one, answer(one), reference.truth(one), reference.rounded(one), note)


def _errors(found: Array, truth: Array) -> Array:
    """Return each row's rms difference to the truth, in units of the output's rms."""
    apart = np.square(found.astype(np.float64) - truth).reshape(len(truth), -1).mean(axis=1)
    scale = float(np.square(truth).mean()) or 1.0
    errors: Array = np.sqrt(apart / scale)
    return errors
