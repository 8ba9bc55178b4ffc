"""Batch sizes, batch invariance and edge inputs: a branch or a size that export baked in shows here."""

from collections.abc import Iterator

import numpy as np

from deploy.passport import Check
from stages.verify.cases import edges
from stages.verify.examination import Examination, limited
from stages.verify.material import head, repeated, row

ODD_BATCH = 7


def check(exam: Examination) -> Iterator[Check]:
    """Yield the checks of batch sizes, batch invariance and edge inputs."""
    sizes = sorted({1, 2, 3, ODD_BATCH, exam.config.max_batch})
    rows = repeated(exam.sample(), exam.config.max_batch)
    groups = []
    for size in sizes:
        feeds = head(rows, size)
        groups.append(exam.compare([(feeds, exam.answer(feeds), f"batch of {size}")]))
    yield exam.group("batch sizes", groups, f"batches of {', '.join(map(str, sizes))}")
    yield _invariance(exam)
    edge = exam.compare((feeds, exam.answer(feeds), name) for name, feeds in edges(exam.reference.input, exam.sample()))
    yield exam.group("edge inputs", [edge], f"{edge.rows} rows: extremes, size 1, very wide, odd sizes")


def _invariance(exam: Examination) -> Check:
    """Check that a row's answer does not depend on its neighbours."""
    rows = head(repeated(exam.sample(), ODD_BATCH), ODD_BATCH)
    together = exam.answer(rows)
    alone = [exam.answer(row(rows, number)) for number in range(ODD_BATCH)]
    ratio, same = 0.0, True
    for name, value in together.items():
        apart = np.concatenate([answer[name] for answer in alone])
        if value.dtype.kind == "f" and value.shape == apart.shape:
            rms = float(np.sqrt(np.square(value.astype(np.float64) - apart).mean()))
            ratio = max(ratio, rms / exam.noise[name])
        else:
            same = same and np.array_equal(value, apart)
    check = limited("batch invariance", ratio, exam.config.limit, "a row alone answers as it does among others")
    return check if same else Check(check.name, False, ratio, check.limit, "a row decides otherwise among others")
