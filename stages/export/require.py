"""What a saved file must be; asserted on the bytes on disk, because exporters warn where they should refuse."""

from pathlib import Path

import onnx

from deploy.bundle import Signature, TensorSpec
from stages.errors import ExportError

IR_VERSION = 10  # what torch 2.14 writes for opset 20; every ONNX Runtime since 1.18 reads it


def require(path: Path, inputs: Signature, outputs: Signature, opset: int | None) -> onnx.ModelProto:
    """Load a file and return it; `ExportError` unless it is valid, self-contained and of exactly this form.

    Checked: `onnx.checker` with shape inference, no external data, and name, dtype and shape of every input and output,
    where a free size must be symbolic under its name; and, unless `opset` is None (a file from elsewhere), that this
    is its only opset, and the IR version.
    """
    try:
        proto = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:
        raise ExportError(f"{path}: not a valid ONNX model: {str(error).splitlines()[0]}; export again") from error
    if opset is not None:
        _require_versions(path, proto, opset)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer):
        raise ExportError(f"{path}: keeps weights in another file, expected one self-contained file; export again")
    weights = {tensor.name for tensor in proto.graph.initializer}  # old files list them among the inputs
    _require_tensors(path, "input", [v for v in proto.graph.input if v.name not in weights], inputs.tensors)
    _require_tensors(path, "output", list(proto.graph.output), outputs.tensors)
    return proto


def _require_versions(path: Path, proto: onnx.ModelProto, opset: int) -> None:
    domains = {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import}
    if domains != {"ai.onnx": opset}:
        raise ExportError(
            f"{path}: has opsets {domains}, expected only ai.onnx {opset}; set export.opset to one in use"
        )
    if proto.ir_version != IR_VERSION:
        raise ExportError(f"{path}: has IR version {proto.ir_version}, expected {IR_VERSION}; use torch 2.14 or newer")


def tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """Return name, numpy dtype and shape of a graph's input or output; a size of unknown name is "?"."""
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim)
    return TensorSpec(value.name, str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape)


def _require_tensors(path: Path, role: str, values: list[onnx.ValueInfoProto], specs: tuple[TensorSpec, ...]) -> None:
    found = [tensor_spec(value) for value in values]
    for have, want in zip(found, specs, strict=False):
        if (have.name, have.dtype, have.shape) != (want.name, want.dtype, want.shape):
            raise ExportError(
                f"{path}: {role} is {have.name} {have.dtype} {list(have.shape)}, expected "
                f"{want.name} {want.dtype} {list(want.shape)}; a free size became fixed when the model depends on it"
            )
    if len(found) != len(specs):
        raise ExportError(f"{path}: has {len(found)} {role}s {[t.name for t in found]}, expected {len(specs)}")
