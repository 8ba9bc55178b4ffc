"""Whatever answers a batch of raw input: ONNX Runtime on a provider, the cut graph, onnx's numpy evaluator."""

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx.reference import ReferenceEvaluator

from deploy.providers import Provider, open_session
from stages.dataset import Array
from stages.verify.twin import Outputs

Answer = Callable[[Array], Outputs]


def open_model(path: Path, provider: Provider) -> Answer:
    """Open the file on disk in a fresh session, strictly on the provider."""
    session = open_session(path, provider)
    name = session.inputs[0].name
    return lambda raw: session.run({name: raw})


def open_cut(pre: Path, net: Path, provider: Provider) -> Answer:
    """Open both halves of the cut graph, each in its own session."""
    first, second = open_model(pre, provider), open_model(net, provider)
    return lambda raw: second(next(iter(first(raw).values())))


def open_witness(path: Path) -> Answer:
    """Open onnx's ReferenceEvaluator: numpy code that shares nothing with ONNX Runtime, and is slow."""
    proto = onnx.load(path)
    evaluator = ReferenceEvaluator(proto)
    name, outputs = proto.graph.input[0].name, [value.name for value in proto.graph.output]
    return lambda raw: dict(zip(outputs, evaluator.run(None, {name: raw}), strict=True))
