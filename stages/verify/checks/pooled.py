"""Noise and decisions over the whole test split, and over more rows where it is small; the yardstick of all others."""

from collections.abc import Iterator

import numpy as np

from deploy.passport import Check
from stages.verify.compare import Comparison
from stages.verify.examination import Examination, limited
from stages.verify.reference import Outputs


def check(exam: Examination) -> Iterator[Check]:
    """Yield a check for each real-valued output's noise ratio, and one for the decisions on the test rows."""
    pooled, test = _pool(exam)
    exam.malformed += pooled.malformed
    exam.noise = pooled.noise()
    for name, pool in pooled.pools.items():
        detail = (
            f"{pooled.rows} rows: rms difference to float64 {pool.rms_error():.2e}, "
            f"torch float32's own {pool.rms_noise():.2e}, largest {pool.worst:.2e}"
        )
        yield limited(f"noise of {name}", pool.ratio(), exam.config.limit, detail)
    if pooled.pools:
        flips, ties = test.flips(exam.tie_margin)
        exam.findings["decisions"] = {"rows": test.rows, "flips": flips, "ties": ties}
        detail = f"{flips} of {test.rows} test rows decided otherwise, {ties} more were ties"
        yield limited("decisions", flips, 0, detail)
    exam.findings["ratios"] = {name: pool.ratio() for name, pool in pooled.pools.items()}
    exam.findings["rows"] = pooled.rows


def _pool(exam: Examination) -> tuple[Comparison, Comparison]:
    pooled, test = Comparison(exam.reference), Comparison(exam.reference)
    answers: list[Outputs] = []
    total = max(exam.material.size, exam.config.rows)
    for feeds in exam.material.test(exam.config.max_batch):
        answers.append(exam.answer(feeds))
        test.add(feeds, answers[-1], "test rows")
        exam.observer.progress(test.rows, total, "test rows")
    pooled.merge(test)
    for feeds in exam.material.more(exam.config.rows - exam.material.size, exam.config.max_batch):
        pooled.add(feeds, exam.answer(feeds), "more rows")
        exam.observer.progress(pooled.rows, total, "more rows")
    if not test.malformed:
        exam.answers = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    return pooled, test
