"""A torch module of the user's own as the reference: `--torch package.module:build --weights w.safetensors`."""

import copy
import importlib
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from deploy.bundle import Signature
from deploy.errors import UsageError
from deploy.rows import by_batch, fixed_batch
from deploy.schema import closest
from stages.dataset import Array
from stages.errors import VerifyError
from stages.recipe import Precision
from stages.verify.foreign.decision import deciding_output, largest_column
from stages.verify.material import repeated
from stages.verify.perturbation import perturbed, reordered
from stages.verify.precision import WORDS, rounding
from stages.verify.reference import Feeds, Outputs


class ModuleReference:
    """A module in float64 and rounded, `Perturbable` and `Transparent`.

    Inputs go in by position, as the file lists them; outputs are flattened.

    batch    rows that the module takes at a time, where it takes no other number: then gradients are not asked for
    """

    def __init__(self, module: nn.Module, inputs: Signature, outputs: Signature, batch: int | None = None) -> None:
        self.input, self.output = inputs, outputs
        self.batch = batch
        self.exact = copy.deepcopy(module).double().eval()
        self.module = copy.deepcopy(module).float().eval().requires_grad_(False)
        self.free = tuple(spec.name for spec in inputs.tensors if spec.dtype.startswith("float") and batch is None)
        self.own: Mapping[str, int] = {}
        self.precision: Precision = "fp32"
        self._deciding = deciding_output(outputs)

    @property
    def yardstick(self) -> str:
        """What `rounded` is, in words."""
        return WORDS[self.precision]

    def at(self, precision: Precision) -> "ModuleReference":
        """Return the same module, the rounded one at another precision."""
        other = copy.copy(self)
        other.precision = precision
        return other

    def truth(self, feeds: Feeds) -> Outputs:
        """Return float64 outputs by name."""
        return self._run(self.exact, feeds, torch.float64)

    def rounded(self, feeds: Feeds) -> Outputs:
        """Return outputs by name as the precision rounds them."""
        with rounding(self.precision):
            return self._run(self.module, feeds, torch.float32)

    def perturbed(self, feeds: Feeds, seed: int, *, alike: bool) -> Outputs:
        """Return outputs by name with every value moved by about a rounding of the precision, at random."""
        with perturbed(self.precision, seed, alike=alike):
            return self._run(self.module, feeds, torch.float32)

    def reordered(self, feeds: Feeds, seed: int) -> Outputs:
        """Return outputs by name as another order of adding may round them."""
        with reordered(self.precision, seed):
            return self._run(self.module, feeds, torch.float32)

    def decide(self, outputs: Outputs) -> tuple[Array, Array]:
        """Return the largest column of the deciding output, and its lead."""
        return largest_column(outputs, self._deciding)

    def _run(self, module: nn.Module, feeds: Feeds, dtype: torch.dtype) -> Outputs:
        once = partial(self._once, module, dtype)
        return once(feeds) if self.batch is None else by_batch(once, self.batch)(feeds)

    def _once(self, module: nn.Module, dtype: torch.dtype, feeds: Feeds) -> Outputs:
        tensors = [torch.from_numpy(np.ascontiguousarray(feeds[spec.name])) for spec in self.input.tensors]
        try:
            with torch.inference_mode():
                answer = module(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))
        except Exception as error:
            shapes = ", ".join(f"{spec.name} {list(feeds[spec.name].shape)}" for spec in self.input.tensors)
            raise VerifyError(
                f"the torch module cannot run in {str(dtype).removeprefix('torch.')} on {shapes}: "
                f"{str(error).partition(chr(10))[0]}"
            ) from error
        values = list(_flat(answer))
        if len(values) != len(self.output.tensors):
            names = [spec.name for spec in self.output.tensors]
            raise VerifyError(
                f"the torch module answers {len(values)} tensors, the ONNX file has {len(names)}: {names}"
            )
        return {spec.name: value.numpy() for spec, value in zip(self.output.tensors, values, strict=True)}


def module_reference(module: nn.Module, inputs: Signature, outputs: Signature, sample: Feeds) -> ModuleReference:
    """Return the reference for a file; where that has a fixed batch, it is tried whether the module has it too."""
    reference = ModuleReference(module, inputs, outputs)
    batch = fixed_batch(inputs.tensors, outputs.tensors)
    if batch is None:
        return reference
    try:
        answer = reference.truth(repeated(sample, batch + 1))
    except VerifyError:
        answer = {}
    if answer and all(value.shape[:1] == (batch + 1,) for value in answer.values()):
        return reference
    return ModuleReference(module, inputs, outputs, batch)


def load_module(reference: str, weights: Path | None) -> nn.Module:
    """Import `package.module:name` (a module, or a function that builds one), and load weights into it, strictly.

    The current folder is importable. Weights are .safetensors, or a state dict saved by torch (read as data only).
    Raises `UsageError` for what cannot be found or does not fit.
    """
    module_name, colon, name = reference.partition(":")
    if not colon:
        raise UsageError(f"--torch {reference!r}: expected package.module:build")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(module_name)
    except Exception as error:
        raise UsageError(f"--torch {reference}: {type(error).__name__}: {error}") from error
    if not hasattr(found, name):
        public = (known for known in vars(found) if not known.startswith("_"))
        raise UsageError(f"--torch {reference}: {module_name} has no {name!r}; {closest(name, public)}")
    made = getattr(found, name)
    if not isinstance(made, nn.Module):
        made = made()
    if not isinstance(made, nn.Module):
        raise UsageError(
            f"--torch {reference}: is {type(made).__name__}, expected a torch.nn.Module or a builder of one"
        )
    if weights is not None:
        _load_weights(made, weights)
    return made.eval()


def _load_weights(module: nn.Module, path: Path) -> None:
    try:
        if path.suffix == ".safetensors":
            state: Mapping[str, Any] = safetensors.torch.load(path.read_bytes())
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"--weights {path}: no such file") from None
    except Exception as error:
        raise UsageError(f"--weights {path}: not to be read ({str(error).partition(chr(10))[0]})") from error
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"--weights {path}: do not fit the module: {reason}") from None


def _flat(answer: Any) -> Iterable[torch.Tensor]:
    """Yield the tensors of a module's answer in the order in which the exporter flattens it."""
    if isinstance(answer, torch.Tensor):
        yield answer
    elif isinstance(answer, Mapping):
        for value in answer.values():
            yield from _flat(value)
    elif isinstance(answer, list | tuple):
        for value in answer:
            yield from _flat(value)
    else:
        raise VerifyError(
            f"the torch module answers {type(answer).__name__}, expected tensors in tuples, lists or dicts"
        )
