"""Whatever answers a batch: ONNX Runtime on a provider, the cut graph, onnx's numpy evaluator."""

import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from deploy.bundle import Signature
from deploy.providers import Provider, open_session
from deploy.rows import by_batch, fixed_batch
from stages.verify.reference import Answer, Feeds, Outputs


def open_model(path: Path, provider: Provider) -> Answer:
    """Open the file on disk in a fresh session, strictly on the provider."""
    return open_session(path, provider).run


def open_cut(pre: Path, net: Path, provider: Provider) -> Answer:
    """Open both halves of the cut graph, each in its own session."""
    first, second = open_model(pre, provider), open_model(net, provider)
    return lambda feeds: second(first(feeds))


def open_witness(path: Path, inputs: Signature, outputs: Signature) -> Answer:
    """Open onnx's ReferenceEvaluator: numpy code that shares nothing with ONNX Runtime, and is slow."""
    return evaluator(onnx.load(path), inputs, outputs)


def evaluator(proto: onnx.ModelProto, inputs: Signature, outputs: Signature) -> Answer:
    """Return the answers of onnx's ReferenceEvaluator to any number of rows."""
    numpy = ReferenceEvaluator(proto)
    names = [spec.name for spec in outputs.tensors]

    def answer(feeds: Feeds) -> Outputs:
        with np.errstate(all="ignore"), warnings.catch_warnings():  # NaN is for the checks to find
            warnings.simplefilter("ignore")
            return dict(zip(names, map(np.asarray, numpy.run(names, feeds)), strict=True))

    batch = fixed_batch(inputs.tensors, outputs.tensors)
    return answer if batch is None else by_batch(answer, batch)
