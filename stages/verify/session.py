"""Whatever answers a batch: ONNX Runtime on a provider, the cut graph, onnx's numpy evaluator."""

from pathlib import Path

import onnx
from onnx.reference import ReferenceEvaluator

from deploy.providers import Provider, open_session
from stages.verify.reference import Answer


def open_model(path: Path, provider: Provider) -> Answer:
    """Open the file on disk in a fresh session, strictly on the provider."""
    return open_session(path, provider).run


def open_cut(pre: Path, net: Path, provider: Provider) -> Answer:
    """Open both halves of the cut graph, each in its own session."""
    first, second = open_model(pre, provider), open_model(net, provider)
    return lambda feeds: second(first(feeds))


def open_witness(path: Path) -> Answer:
    """Open onnx's ReferenceEvaluator: numpy code that shares nothing with ONNX Runtime, and is slow."""
    proto = onnx.load(path)
    evaluator = ReferenceEvaluator(proto)
    outputs = [value.name for value in proto.graph.output]
    return lambda feeds: dict(zip(outputs, evaluator.run(None, feeds), strict=True))
