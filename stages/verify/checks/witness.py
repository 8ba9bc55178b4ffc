"""A third implementation: a fault that torch and ONNX Runtime share, or that the latter hides, is seen by numpy."""

from collections.abc import Iterator

from deploy.passport import Check
from stages.verify.compare import Comparison
from stages.verify.examination import Examination
from stages.verify.material import head
from stages.verify.session import open_witness

_FLOPS = 10**10  # numpy's convolutions do about one in a nanosecond
_MOST = 64


def check(exam: Examination) -> Iterator[Check]:
    """Yield a check that onnx's numpy evaluator decides the same on `config.witness` test rows; none when 0."""
    asked = exam.config.witness
    rows = min(exam.material.size, _affordable(exam) if asked is None else asked)
    if not rows or exam.provider != "cpu":
        return
    seen = Comparison(exam.reference)
    try:
        witness = open_witness(exam.model, exam.reference.input, exam.reference.output)
        for feeds in exam.material.test(min(rows, exam.config.max_batch)):
            if seen.rows >= rows:
                break
            some = head(feeds, rows - seen.rows)
            seen.add(some, witness(some), "numpy witness")
            exam.observer.progress(seen.rows, rows, "rows by onnx's numpy evaluator")
    except NotImplementedError as error:  # an operator of ONNX Runtime's own
        if asked is not None:
            yield Check("numpy witness", False, detail=f"onnx's numpy evaluator cannot run the graph: {error}")
        return
    yield exam.group("numpy witness", [seen], f"onnx's numpy evaluator agrees on {seen.rows} rows")


def _affordable(exam: Examination) -> int:
    """Return as many rows as take some seconds, by the work in a row: 64 of a small network, 2 of ResNet-18 at 224."""
    return min(_MOST, max(2, _FLOPS // exam.row_flops)) if exam.row_flops else _MOST
