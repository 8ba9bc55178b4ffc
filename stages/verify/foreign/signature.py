"""What a foreign ONNX file takes and answers, read from the file; and rows to try it on."""

import re
from pathlib import Path

import numpy as np
import onnx

from deploy import onnxfile
from deploy.bundle import Signature, TensorSpec
from deploy.errors import UsageError
from deploy.schema import closest
from stages.dataset import Array
from stages.errors import VerifyError
from stages.export.require import tensor_spec
from stages.verify.material import Material

_SPEC = re.compile(r"(?P<name>[^=]+)=(?P<sizes>\d+(,\d+)*)(:(?P<low>[-+.\de]+)\.\.(?P<high>[-+.\de]+))?")
_ROWS = 256
_FREE = 32  # of a free size that nobody gave


def signatures(model: Path) -> tuple[Signature, Signature]:
    """Return the inputs and the outputs of an ONNX file; `VerifyError` when it cannot be read."""
    try:
        graph = onnx.load(model, load_external_data=False).graph
        weights = {tensor.name for tensor in graph.initializer}
        inputs = tuple(tensor_spec(value) for value in graph.input if value.name not in weights)
        outputs = tuple(tensor_spec(value) for value in graph.output)
    except FileNotFoundError:
        raise VerifyError(f"{model}: no such file") from None
    except Exception as error:
        raise VerifyError(f"{model}: not an ONNX model ({type(error).__name__}); export it again") from error
    if not inputs or not outputs:
        raise VerifyError(
            f"{model}: has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each at least"
        )
    return Signature("tensors", inputs), Signature("tensors", outputs)


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
        return Material(signature, _read(Path(inputs), signature))
    given = _parse(inputs or "", signature)
    generator = np.random.default_rng(seed)
    return Material(
        signature, {spec.name: _random(spec, given.get(spec.name), generator) for spec in signature.tensors}
    )


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


def _fitting(array: Array, spec: TensorSpec, path: Path) -> Array:
    sizes = zip(array.shape[1:], spec.shape[1:], strict=False)
    fits = array.ndim == len(spec.shape) and all(have == want or isinstance(want, str) for have, want in sizes)
    if not fits or str(array.dtype) != spec.dtype:
        raise UsageError(
            f"--inputs {path}: {spec.name!r} is {array.dtype} {list(array.shape)}, "
            f"the model takes {spec.dtype} {list(spec.shape)}"
        )
    return array


def _parse(text: str, signature: Signature) -> dict[str, tuple[tuple[int, ...], tuple[float, float] | None]]:
    found = {}
    names = [spec.name for spec in signature.tensors]
    for part in filter(None, text.split(";")):
        match = _SPEC.fullmatch(part.strip())
        if match is None:
            raise UsageError(
                f"--inputs {part!r}: expected FILE.npz or NAME=SIZE,SIZE:LOW..HIGH, as in x=3,224,224:0..1"
            )
        if match["name"] not in names:
            raise UsageError(
                f"--inputs {part!r}: the model has no input {match['name']!r}; {closest(match['name'], names)}"
            )
        span = (float(match["low"]), float(match["high"])) if match["low"] else None
        found[match["name"]] = (tuple(map(int, match["sizes"].split(","))), span)
    return found


def _random(
    spec: TensorSpec, given: tuple[tuple[int, ...], tuple[float, float] | None] | None, generator: np.random.Generator
) -> Array:
    sizes, span = given or (tuple(s if isinstance(s, int) else _FREE for s in spec.shape[1:]), None)
    rows = spec.shape[0] if spec.shape and isinstance(spec.shape[0], int) else _ROWS
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        values = generator.uniform(*span, (rows, *sizes)) if span else generator.normal(size=(rows, *sizes))
        return values.astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, (rows, *sizes)).astype(dtype)
    low, high = span or ((0, 255) if dtype == np.uint8 else (0, 9))
    return _fitting(generator.integers(int(low), int(high) + 1, (rows, *sizes)).astype(dtype), spec, Path(spec.name))
