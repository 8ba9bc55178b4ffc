"""The graph in two halves, where they lie beside the model."""

from collections.abc import Iterator

from deploy.passport import Check
from stages.verify.examination import Examination
from stages.verify.session import open_cut


def check(exam: Examination) -> Iterator[Check]:
    """Yield a check that `net.onnx` behind `pre.onnx` answers as the whole does."""
    pre, net = (exam.model.with_name(name) for name in ("pre.onnx", "net.onnx"))
    if not pre.exists():
        return
    halves = open_cut(pre, net, exam.provider)
    feeds = exam.sample()
    compared = exam.compare([(feeds, halves(feeds), "cut graph")])
    yield exam.group("cut graph", [compared], "net.onnx after pre.onnx answers as model.onnx does")
