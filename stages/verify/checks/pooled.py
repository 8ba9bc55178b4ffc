"""Noise over the whole test split, and over more rows where it is small; the yardstick of all other families."""

import math
import sys
from collections.abc import Iterator

import numpy as np

from deploy.passport import Check
from stages.verify.compare import Comparison
from stages.verify.examination import Examination, doubtful, limited
from stages.verify.known import Known
from stages.verify.noise import Pool
from stages.verify.reference import Outputs, Slow

_EXACT_FLOPS = 5 * 10**11
_LEAST_EXACT = 128


def check(exam: Examination) -> Iterator[Check]:
    """Yield two checks for each real-valued output: the noise ratio by rms, and the ratio of the largest errors.

    And one that there was something to compare: of a detector that finds nothing no box was, whatever it answers.
    """
    pooled = _pool(exam)
    exam.malformed += pooled.malformed
    exam.worst.merge(pooled.worst)
    exam.findings["rows"] = pooled.rows
    exam.findings["screened"] = pooled.screened
    exam.findings["yardstick"] = exam.reference.yardstick
    overflowing = [name for name, value in pooled.noise().items() if not math.isfinite(value)]
    if overflowing:
        exam.test = None  # nothing can be judged without a yardstick
        for name in overflowing:
            detail = f"{exam.reference.yardstick} is not finite on {pooled.rows} rows, the network overflows in it"
            yield Check(f"noise of {name}", False, limit=exam.config.limit, detail=detail)
        return
    pools = pooled.pools.values()
    if any(doubtful(ratio, exam.config.limit) for pool in pools for ratio in (pool.ratio(), pool.worst_ratio())):
        pooled.reorder()
    if all(pool.ratio() <= exam.config.limit for pool in pools):
        _look_again(exam, pooled)
    exam.noise = pooled.noise()
    for name, pool in pooled.pools.items():
        yield from _noise(exam, name, pool, pooled)
    yield _something(pooled)
    exam.findings["noise"] = {name: pool.figures() for name, pool in pooled.pools.items()}
    ratios = {name: pool.ratio() for name, pool in pooled.pools.items()}
    exam.findings["ratios"] = {name: ratio for name, ratio in ratios.items() if math.isfinite(ratio)}


def _noise(exam: Examination, name: str, pool: Pool, pooled: Comparison) -> Iterator[Check]:
    """Yield the checks of one output, each with the yardstick in words.

    The largest error has the same limit: over 54 faithful graphs its ratio was 0.8 to 2.2, over the faults of
    real-valued outputs 11.6 and more. It sees a row in ten thousand, which the mean square dilutes a hundredfold.
    """
    yardstick = exam.reference.yardstick
    rows = f"{pooled.rows - pooled.screened} rows"
    detail = f"{rows}: rms difference to float64 {pool.rms_error():.2e}, {yardstick}: {pool.rms_noise():.2e}"
    yield limited(f"noise of {name}", pool.ratio(), exam.config.limit, detail)
    if pooled.screened:
        rows += f" and {pooled.screened} screened by the yardstick"
    detail = f"{rows}: largest difference to float64 {pool.worst:.2e}, {yardstick}: {pool.worst_noise():.2e}"
    yield limited(f"largest error of {name}", pool.worst_ratio(), exam.config.limit, detail)


def _something(pooled: Comparison) -> Check:
    """Check that every output of real numbers was compared where it is more than zeros."""
    blank = pooled.blank()
    if not blank:
        return Check("something compared", True, detail=f"every output, on {pooled.rows} rows")
    if pooled.things:
        detail = f"{', '.join(blank)}: 0 everywhere; train longer, or give test data on which it is not"
    else:
        detail = (
            f"{', '.join(blank)}: file and network find no thing in common; train longer, lower the least score "
            "(task.score_threshold), or give test data in which there is something to find"
        )
    return Check("something compared", False, detail=f"nothing was compared in {pooled.rows} rows of {detail}")


def _look_again(exam: Examination, pooled: Comparison) -> None:
    """Where only the largest error is beyond its limit, draw noise anew on the batch that was answered worst.

    A network that is sure of nearly all rows makes nearly all the noise on the others, of which there may be a handful.
    """
    if any(doubtful(pool.worst_ratio(), exam.config.limit) for pool in pooled.pools.values()):
        batch = pooled.worst.batches[0]
        again = exam.compare([(batch.feeds, exam.answer(batch.feeds), batch.where)])
        again.redraw(exam.scaled())
        for name, pool in pooled.pools.items():
            pool.allow(again.pools[name])


def _pool(exam: Examination) -> Comparison:
    """Compare all test rows, and more where they are few: with the truth as many as it can be asked, see `_exact`."""
    pooled, test = Comparison(exam.reference), Comparison(exam.reference)
    answers: list[Outputs] = []
    exact = _exact(exam)
    wanted = min(exam.config.rows, exact)
    total = max(exam.material.size, wanted)
    for number, feeds in enumerate(exam.material.test(exam.config.max_batch)):
        answers.append(exam.answer(feeds))
        if exam.shown is None:
            exam.known = Known(exam.reference, feeds)
        if test.rows < exact:
            test.add(feeds, answers[-1], "test rows", exam.known.get(feeds) if exam.known else None)
        else:
            test.screen(feeds, answers[-1], "test rows")
        if exam.shown is None and test.decided and not test.blank():
            exam.begin, exam.shown = number, test.decided[-1]
        exam.observer.progress(test.rows, total, "test rows")
    pooled.merge(test)
    for feeds in exam.material.more(wanted - exam.material.size, exam.config.max_batch):
        pooled.add(feeds, exam.answer(feeds), "more rows")
        exam.observer.progress(pooled.rows, total, "more rows")
    exam.test = test
    if not test.malformed:
        exam.answers = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    return pooled


def _exact(exam: Examination) -> int:
    """Return how many rows are compared with float64, which a processor computes slowly; the rest is screened.

    By the work in a row, not by time, so that a verdict can be repeated: all rows of small networks, 138 of ResNet-18
    at 224 x 224; where numpy has to compute it, 13.
    """
    if not exam.row_flops:
        return sys.maxsize
    slowness = exam.reference.slowness if isinstance(exam.reference, Slow) else 1
    return max(_LEAST_EXACT, _EXACT_FLOPS // exam.row_flops) // slowness
