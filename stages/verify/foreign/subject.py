"""What is asked of a foreign file: what it is held against, on which rows, and what that cannot show."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx

from deploy import files
from deploy.errors import UsageError
from deploy.rows import fixed_batch
from stages.recipe import VerifyConfig
from stages.verify.blame import OnnxOrigin, Origin, TorchOrigin
from stages.verify.foreign.decision import deciding_output
from stages.verify.foreign.module import load_module, module_reference
from stages.verify.foreign.opaque import OpaqueReference, reference_of
from stages.verify.foreign.signature import material, opset, signatures
from stages.verify.material import Material
from stages.verify.reference import Reference


@dataclass(frozen=True)
class Sources:
    """Where the answers and the rows for a foreign file come from; with neither torch nor against: from itself.

    torch      `package.module:build`, with `weights`
    against    another ONNX file
    inputs     see `signature.material`
    """

    torch: str | None = None
    weights: Path | None = None
    against: Path | None = None
    inputs: str | None = None


@dataclass(frozen=True)
class Subject:
    """A foreign file, and all that it is judged by; `words` is the reference in words."""

    model: Path
    sources: Sources
    reference: Reference
    material: Material
    origin: Origin
    words: str

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights or of the other file; empty without one."""
        path = self.sources.weights or self.sources.against
        return files.sha256_file(path) if path is not None else ""

    @property
    def data_sha256(self) -> str:
        """Digest of the .npz file; empty without one."""
        return files.sha256_file(Path(self.sources.inputs or "")) if self._real_rows else ""

    @property
    def _real_rows(self) -> bool:
        return bool(self.sources.inputs and self.sources.inputs.endswith(".npz"))

    def unproven(self, config: VerifyConfig) -> Iterator[str]:
        """Yield what a verdict on this subject does not show, in words for a person."""
        if self.sources.torch is None:
            yield f"that the file is the network that was trained: it was held against {self.words}, not a torch module"
        elif self.sources.weights is None:
            yield "that the weights are those that were trained: no weights were given, the module came with its own"
        if isinstance(self.reference, OpaqueReference):
            yield (
                "float64: onnx's numpy evaluator cannot run the graph; ONNX Runtime's own answers, not optimized, were "
                "taken for the truth, and a bound of their rounding was stated"
            )
        if not self._real_rows:
            yield "real data: no .npz file was given, rows were drawn at random"
        outputs = self.reference.output
        if deciding_output(outputs) is None and all(spec.dtype.startswith("float") for spec in outputs.tensors):
            yield "decisions: no output has (rows, classes) or whole numbers, only real values were compared"
        batch = fixed_batch(self.reference.input.tensors, outputs.tensors)
        if batch is not None:
            yield f"other batch sizes: the file takes {batch} rows at a time, more or fewer are sent in such batches"
        if config.budget_s == 0:
            yield "worst cases: none were hunted (verify.budget_s=0)"


def subject(model: Path, sources: Sources) -> Subject:
    """Open a foreign file and what it is held against.

    Raises `UsageError` or `VerifyError` when the question itself is wrong.
    """
    if sources.torch is not None and sources.against is not None:
        raise UsageError(f"{model}: give one of --torch and --against; without either it is held against itself")
    if sources.weights is not None and sources.torch is None:
        raise UsageError("--weights belongs to --torch; an ONNX file has its own")
    taken, answered = signatures(model)
    rows = material(taken, sources.inputs)
    sample = next(rows.test(1))
    if sources.torch is not None:
        module = module_reference(load_module(sources.torch, sources.weights), taken, answered, sample)
        origin = TorchOrigin(module.module, taken, answered, opset(model))
        return Subject(model, sources, module, rows, origin, f"torch module {sources.torch}")
    trusted = sources.against or model
    if sources.against is not None:
        _require_alike(model, sources.against)
    reference = reference_of(trusted, taken, answered, sample)
    words = trusted.name
    if sources.against is None:
        words = "itself, not optimized" if isinstance(reference, OpaqueReference) else "itself, in float64"
    return Subject(model, sources, reference, rows, OnnxOrigin(partial(onnx.load, trusted)), words)


def _require_alike(model: Path, against: Path) -> None:
    """Raise `UsageError` unless both files take and answer the same tensors (names, dtypes, ranks, in order)."""
    for role, ours, theirs in zip(("inputs", "outputs"), signatures(model), signatures(against), strict=True):
        first, second = ([(t.name, t.dtype, len(t.shape)) for t in side.tensors] for side in (ours, theirs))
        if first != second:
            raise UsageError(
                f"--against {against}: its {role} (name, dtype, rank) are {second}, those of {model} {first}"
            )
