"""What a foreign ONNX file takes and answers, read from the file; and rows to try it on."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from deploy import onnxfile
from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from deploy.rows import fixed_batch
from deploy.schema import closest
from stages.dataset import Array
from stages.errors import VerifyError
from stages.export.require import tensor_spec
from stages.verify.material import Material

_SPEC = re.compile(r"(?P<name>[^=]+)=(?P<sizes>\d+(,\d+)*)(:(?P<low>[-+.\de]+)\.\.(?P<high>[-+.\de]+))?")
_ROWS, _LEAST_ROWS, _MOST_BYTES = 256, 8, 2**28
_FREE = 32  # of a free size that nobody gave
_DTYPES = (
    *("float32", "float64", "float16", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)

Given = tuple[tuple[int, ...], tuple[float, float] | None]  # sizes of one row, and the range of its values


def signatures(model: Path) -> tuple[Signature, Signature]:
    """Return the inputs and the outputs of an ONNX file.

    A single uint8 input with 1, 3 or 4 channels last is a picture (kind `image`), everything else are `tensors`. Raises
    `VerifyError` for a file that cannot be read, keeps its weights elsewhere, or whose tensors do not begin with rows.
    """
    try:
        proto = onnx.load(model, load_external_data=False)
        elsewhere = onnxfile.inspect(model.read_bytes()).external_data
    except FileNotFoundError:
        raise VerifyError(f"{model}: no such file") from None
    except OSError as error:
        raise VerifyError(f"{model}: cannot be read ({error.strerror})") from None
    except Exception as error:
        raise VerifyError(f"{model}: not an ONNX model ({type(error).__name__}); export it again") from error
    if elsewhere:
        raise VerifyError(
            f"{model}: keeps weights in other files, expected one self-contained file; export it with "
            'external_data=False, or join them: onnx.save(onnx.load("model.onnx"), "joined.onnx")'
        )
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = tuple(_spec(model, "input", value) for value in proto.graph.input if value.name not in weights)
    outputs = tuple(_spec(model, "output", value) for value in proto.graph.output)
    if not inputs or not outputs:
        raise VerifyError(
            f"{model}: has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each at least"
        )
    _require_rows(model, inputs, outputs)
    if len(inputs) == 1 and _is_picture(inputs[0]):
        return Signature("image", (replace(inputs[0], range=(0.0, 255.0)),)), Signature("tensors", outputs)
    return Signature("tensors", inputs), Signature("tensors", outputs)


def _spec(model: Path, role: str, value: onnx.ValueInfoProto) -> TensorSpec:
    """Return a tensor's spec; `VerifyError` for what arrays of numbers cannot hold."""
    kind = value.type.WhichOneof("value")
    try:
        spec = tensor_spec(value) if kind == "tensor_type" else None
    except (KeyError, TypeError, ValueError):
        spec = None
    if spec is None or spec.dtype not in _DTYPES:
        what = spec.dtype if spec is not None else (kind or "nothing").removesuffix("_type")
        raise VerifyError(
            f"{model}: {role} {value.name!r} is {'text' if what == 'object' else what}, expected a tensor of "
            f"{', '.join(_DTYPES)}; leave it out of the graph"
        )
    return spec


def _require_rows(model: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Raise unless all tensors begin with a free axis, or all with the same number: their rows."""
    specs = (*inputs, *outputs)
    if fixed_batch(inputs, outputs) is not None or all(s.shape and isinstance(s.shape[0], str) for s in specs):
        return
    shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in specs)
    raise VerifyError(
        f"{model}: its tensors do not all begin with the same rows ({shapes}); expected a first axis that is free in "
        "all inputs and outputs, or the same number in all: export it with a batch axis"
    )


def _is_picture(spec: TensorSpec) -> bool:
    return spec.dtype == "uint8" and len(spec.shape) == 4 and spec.shape[-1] in (1, 3, 4)


def opset(model: Path) -> int:
    """Return the opset of the standard operators of an ONNX file."""
    return onnxfile.inspect(model.read_bytes()).opset


def material(signature: Signature, inputs: str | None, seed: int = 0) -> Material:
    """Return rows for a model's inputs.

    inputs    an .npz file with one array a model input, rows first; or sizes and value range of one row each,
              `x=3,224,224:0..1;mask=10`; without it, normal values (whole numbers: their range, or 0 to 9)

    Raises `UsageError` for names, shapes or dtypes that the model does not take.
    """
    if inputs and inputs.endswith(".npz"):
        return Material(signature, _read(Path(inputs), signature), source=Path(inputs).name)
    given = _parse(inputs or "", signature)
    generator = np.random.default_rng(seed)
    row_bytes = sum(
        math.prod(given[s.name][0] if s.name in given else _sizes(s)) * np.dtype(s.dtype).itemsize
        for s in signature.tensors
    )
    rows = max(_LEAST_ROWS, min(_ROWS, _MOST_BYTES // max(row_bytes, 1)))
    drawn = {spec.name: _random(spec, given.get(spec.name), rows, generator) for spec in signature.tensors}
    return Material(signature, drawn, source="rows drawn at random")


def _read(path: Path, signature: Signature) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(
            f"--inputs {path}: not to be read as .npz ({type(error).__name__}); write it by numpy.savez"
        ) from None
    found = {}
    for spec in signature.tensors:
        if spec.name not in arrays:
            raise UsageError(f"--inputs {path}: has no array for input {spec.name!r}; {closest(spec.name, arrays)}")
        found[spec.name] = _fitting(arrays[spec.name], spec, path)
    sizes = {name: len(array) for name, array in found.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise UsageError(f"--inputs {path}: rows by input are {sizes}, expected the same number, 1 or more")
    return found


def _fitting(array: Array, spec: TensorSpec, where: Path | str) -> Array:
    sizes = zip(array.shape[1:], spec.shape[1:], strict=False)
    fits = array.ndim == len(spec.shape) and all(have == want or isinstance(want, str) for have, want in sizes)
    if not fits or str(array.dtype) != spec.dtype:
        raise UsageError(
            f"--inputs {where}: {spec.name!r} is {array.dtype} {list(array.shape)}, "
            f"the model takes {spec.dtype} {list(spec.shape)}"
        )
    return array


def _parse(text: str, signature: Signature) -> dict[str, Given]:
    found = {}
    specs = {spec.name: spec for spec in signature.tensors}
    for part in filter(None, text.split(";")):
        match = _SPEC.fullmatch(part.strip())
        if match is None:
            raise UsageError(
                f"--inputs {part!r}: expected FILE.npz or NAME=SIZE,SIZE:LOW..HIGH, as in x=3,224,224:0..1"
            )
        if match["name"] not in specs:
            raise UsageError(
                f"--inputs {part!r}: the model has no input {match['name']!r}; {closest(match['name'], specs)}"
            )
        span = _span(part, match["low"], match["high"], np.dtype(specs[match["name"]].dtype))
        found[match["name"]] = (tuple(map(int, match["sizes"].split(","))), span)
    return found


def _span(part: str, low: str | None, high: str | None, dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Return the ends of a range; `UsageError` when they are none, or not what the dtype holds."""
    if low is None or high is None:
        return None
    try:
        first, last = float(low), float(high)
    except ValueError:
        raise UsageError(f"--inputs {part!r}: {low}..{high} is no range of numbers, expected LOW..HIGH") from None
    least, most = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (-np.inf, np.inf)
    if not least <= first <= last <= most:
        raise UsageError(f"--inputs {part!r}: {low}..{high} is no range of {dtype}, expected LOW..HIGH")
    return first, last


def _random(spec: TensorSpec, given: Given | None, rows: int, generator: np.random.Generator) -> Array:
    sizes, span = given or (_sizes(spec), None)
    dtype, shape = np.dtype(spec.dtype), (rows, *sizes)
    values: Array
    if dtype.kind == "f":
        values = generator.uniform(*span, shape) if span else generator.normal(size=shape)
    elif dtype.kind == "b":
        values = generator.integers(0, 2, shape)
    else:
        low, high = span or ((0, 255) if dtype == np.uint8 else (0, 9))
        values = generator.integers(int(low), int(high), shape, endpoint=True, dtype=dtype.type)
    return _fitting(values.astype(dtype), spec, f"{spec.name}={','.join(map(str, sizes))}")


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else _FREE for size in spec.shape[1:])
