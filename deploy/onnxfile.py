"""Looks into an ONNX file without the onnx package: what an application must know before it opens a session.

Reads the protobuf wire format (https://protobuf.dev/programming-guides/encoding) and skips everything else, weights
included, without copying. Field numbers are those of onnx.proto3.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.errors import BundleError

_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_FUNCTIONS = 7, 8, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE, _FUNCTION_NODE = 1, 5, 15, 7
_NODE_OP_TYPE, _NODE_ATTRIBUTE = 4, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 5, 6, 11
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_TENSOR_DATA_LOCATION, _EXTERNAL = 14, 1
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2

Field = tuple[int, int | memoryview]


@dataclass(frozen=True)
class OnnxFile:
    """The opset of the standard operators, how often each operator occurs, and whether weights lie in other files."""

    opset: int
    operators: Counter[str]
    external_data: bool


def inspect(model: bytes) -> OnnxFile:
    """Read an ONNX file; `BundleError` when the bytes are none."""
    operators: Counter[str] = Counter()
    opset, external = 0, False
    try:
        for number, value in _fields(memoryview(model)):
            if number == _MODEL_OPSETS:
                entry = dict(_fields(value))
                if bytes(entry.get(_OPSET_DOMAIN, b"")) in (b"", b"ai.onnx"):
                    opset = int(entry[_OPSET_VERSION])
            elif number == _MODEL_GRAPH:
                external |= _walk(value, _GRAPH_NODE, operators)
            elif number == _MODEL_FUNCTIONS:
                external |= _walk(value, _FUNCTION_NODE, operators)
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        raise BundleError(f"not an ONNX model ({len(model)} bytes); export it again") from None
    return OnnxFile(opset, operators, external)


def _walk(graph: int | memoryview, node_field: int, operators: Counter[str]) -> bool:
    """Count the operators of a graph and of the graphs inside it; return whether a tensor is stored elsewhere."""
    external = False
    for number, value in _fields(graph):
        if number == node_field:
            external |= _walk_node(value, operators)
        elif number == _GRAPH_INITIALIZER and node_field == _GRAPH_NODE:
            external |= _is_external(value)
        elif number == _GRAPH_SPARSE and node_field == _GRAPH_NODE:
            parts = (part for inner, part in _fields(value) if inner in (_SPARSE_VALUES, _SPARSE_INDICES))
            external |= any(map(_is_external, parts))
    return external


def _walk_node(node: int | memoryview, operators: Counter[str]) -> bool:
    external = False
    for number, value in _fields(node):
        if number == _NODE_OP_TYPE:
            operators[bytes(value).decode()] += 1
        elif number == _NODE_ATTRIBUTE:
            for inner, content in _fields(value):
                if inner in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                    external |= _walk(content, _GRAPH_NODE, operators)
                elif inner == _ATTRIBUTE_TENSOR:
                    external |= _is_external(content)
    return external


def _is_external(tensor: int | memoryview) -> bool:
    return any(number == _TENSOR_DATA_LOCATION and value == _EXTERNAL for number, value in _fields(tensor))


def _fields(message: int | memoryview) -> Iterator[Field]:
    """Yield (field number, value): an int for a varint, a view for the rest."""
    if isinstance(message, int):
        raise TypeError("a number where a message is expected")
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > end:
            raise ValueError("a field reaches past the end")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number too long")
