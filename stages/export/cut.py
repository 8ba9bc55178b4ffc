"""The whole graph, and the same graph in two files that meet at one tensor."""

from collections.abc import Sequence

import onnx
import onnx.utils


def whole(proto: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """Return the model with only these outputs; what was an output beside them becomes an inner tensor."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    kept = [value for value in proto.graph.output if value.name in outputs]
    inner = [value for value in proto.graph.output if value.name not in outputs]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    model.graph.value_info.extend(inner)
    return model


def at(proto: onnx.ModelProto, tensor: str, outputs: Sequence[str]) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return the parts before and after `tensor`, which must be an output of the model, so that its type is known."""
    inputs = [value.name for value in proto.graph.input]
    extractor = onnx.utils.Extractor(proto)
    return extractor.extract_model(inputs, [tensor]), extractor.extract_model([tensor], list(outputs))
