"""A third implementation: a fault that torch and ONNX Runtime share, or that the latter hides, is seen by numpy."""

import itertools
from collections.abc import Iterator

from deploy.passport import Check
from deploy.providers import one_line
from stages.verify.compare import Comparison
from stages.verify.examination import Examination
from stages.verify.material import head
from stages.verify.reference import Answer, Feeds, Outputs
from stages.verify.session import open_witness

_FLOPS = 10**10  # numpy's convolutions do about one in a nanosecond
_MOST = 64


def check(exam: Examination) -> Iterator[Check]:
    """Yield a check that onnx's numpy evaluator decides the same on `config.witness` test rows; none when 0.

    That the evaluator cannot run the graph is held against the file only where it was asked for by number.
    """
    asked = exam.config.witness
    rows = min(exam.material.size, _affordable(exam) if asked is None else asked)
    if not rows or exam.provider != "cpu":
        return
    seen = Comparison(exam.reference)
    try:
        witness = open_witness(exam.model, exam.reference.input, exam.reference.output)
    except NotImplementedError as error:  # an operator of ONNX Runtime's own
        yield Check("numpy witness", asked is None, detail=_words(error))
        return
    for feeds in itertools.chain([exam.unsure()], exam.others()):
        if seen.rows >= rows:
            break
        some = head(feeds, rows - seen.rows)
        found = _ask(witness, some)
        if isinstance(found, str):
            yield Check("numpy witness", asked is None, detail=found)
            return
        seen.add(some, found, "numpy witness")
        exam.observer.progress(seen.rows, rows, "rows by onnx's numpy evaluator")
    yield exam.group("numpy witness", [seen], f"onnx's numpy evaluator agrees on {seen.rows} rows")


def _ask(witness: Answer, feeds: Feeds) -> Outputs | str:
    """Return the evaluator's answers, or words for why it has none."""
    try:
        return witness(feeds)
    except Exception as error:  # an operator, or a form of one, that it does not know: it raises anything
        return _words(error)


def _words(error: Exception) -> str:
    return f"onnx's numpy evaluator cannot run the graph ({type(error).__name__}: {one_line(error)})"


def _affordable(exam: Examination) -> int:
    """Return as many rows as take some seconds, by the work in a row: 64 of a small network, 2 of ResNet-18 at 224."""
    return min(_MOST, max(2, _FLOPS // exam.row_flops)) if exam.row_flops else _MOST
