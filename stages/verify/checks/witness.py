"""A third implementation: a fault that torch and ONNX Runtime share, or that the latter hides, is seen by numpy."""

from collections.abc import Iterator

from deploy.passport import Check
from stages.verify.compare import Comparison
from stages.verify.examination import Examination
from stages.verify.material import head
from stages.verify.session import open_witness


def check(exam: Examination) -> Iterator[Check]:
    """Yield a check that onnx's numpy evaluator decides the same on `config.witness` test rows; none when 0."""
    rows = min(exam.config.witness, exam.material.size)
    if not rows or exam.provider != "cpu":
        return
    witness = open_witness(exam.model)
    seen = Comparison(exam.reference)
    for feeds in exam.material.test(exam.config.max_batch):
        if seen.rows >= rows:
            break
        some = head(feeds, rows - seen.rows)
        seen.add(some, witness(some), "numpy witness")
        exam.observer.progress(seen.rows, rows, "rows by onnx's numpy evaluator")
    yield exam.group("numpy witness", [seen], f"onnx's numpy evaluator agrees on {seen.rows} rows")
