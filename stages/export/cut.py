"""The whole graph, and the same graph in two files that meet at one tensor."""

from collections.abc import Iterator, Sequence

import onnx
import onnx.utils

from stages.errors import ExportError


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
    """Return the parts before and after `tensor`, which must be an output of the model, so that its type is known.

    Where the network asks for a free size (to pad, to number places), the exporter takes it from the raw input; in the
    second part it is taken from `tensor`. Raises `ExportError` when that has no such size.
    """
    inputs = [value.name for value in proto.graph.input]
    first = onnx.utils.Extractor(proto).extract_model(inputs, [tensor])
    second = onnx.utils.Extractor(_sized_by(proto, tensor, outputs)).extract_model([tensor], list(outputs))
    return first, second


def _sized_by(proto: onnx.ModelProto, tensor: str, outputs: Sequence[str]) -> onnx.ModelProto:
    """Return the model with every free size that is asked for behind `tensor` taken from it; what is before may break.

    A size is known by its name: `length` of the text is `length` of the tokens.
    """
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    raw = {value.name: _sizes(value) for value in model.graph.input}
    there = _sizes(next(value for value in model.graph.output if value.name == tensor))
    for node in _behind(model, tensor, outputs):
        name = next((name for name in node.input if name in raw), None)
        if name is None:
            continue
        span = {attribute.name: attribute.i for attribute in node.attribute}
        start = span.get("start", 0)
        size = raw[name][start] if node.op_type == "Shape" and span.get("end") == start + 1 else ""
        if not size or size not in there:
            raise ExportError(
                f"the network takes {node.op_type} of the raw input {name!r}, past {tensor!r}; let it use only what "
                "the input module returns"
            )
        axis = there.index(size)
        node.CopyFrom(onnx.helper.make_node("Shape", [tensor], node.output, node.name, start=axis, end=axis + 1))
    return model


def _behind(model: onnx.ModelProto, tensor: str, outputs: Sequence[str]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that outputs need besides what gives `tensor`, the last first."""
    needed = set(outputs)
    for node in reversed(model.graph.node):  # topologically sorted, as ONNX demands
        if needed.intersection(node.output) and tensor not in node.output:
            needed.update(node.input)
            yield node


def _sizes(value: onnx.ValueInfoProto) -> list[str]:
    """Return the names of a tensor's free sizes by axis; nothing for fixed ones."""
    return [size.dim_param for size in value.type.tensor_type.shape.dim]
