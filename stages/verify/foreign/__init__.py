"""Models that were not trained here: a torch module of the user's own, or another ONNX file, as the reference."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import onnx

from deploy import files, passport
from deploy.errors import UsageError
from stages.observer import Observer
from stages.recipe import VerifyConfig
from stages.verify.blame import Case, OnnxOrigin, Origin, TorchOrigin, record
from stages.verify.certify import Verdict, certify
from stages.verify.foreign.module import ModuleReference, load_module
from stages.verify.foreign.opaque import reference_of
from stages.verify.foreign.signature import material, opset, signatures
from stages.verify.reference import Reference


def verify_file(
    model: Path,
    *,
    torch: str | None = None,
    weights: Path | None = None,
    against: Path | None = None,
    inputs: str | None = None,
    config: VerifyConfig,
    out: Path,
    observer: Observer | None = None,
) -> Verdict:
    """Judge any ONNX file against a torch module (`torch`, with `weights`) or another ONNX file (`against`).

    inputs    see `signature.material`
    out       folder for passport.json and findings.json

    Raises `UsageError` or `VerifyError` when the question itself is wrong; a fault of the model is a failing verdict.
    """
    if (torch is None) == (against is None):
        raise UsageError(f"{model}: give what it is judged against: --torch package.module:build, or --against b.onnx")
    if weights is not None and torch is None:
        raise UsageError("--weights belongs to --torch; an ONNX file has its own")
    taken, answered = signatures(model)
    rows = material(taken, inputs)
    reference: Reference
    origin: Origin
    if against is not None:
        _require_alike(model, against)
        reference = reference_of(against, taken, answered, next(rows.test(1)))
        origin = OnnxOrigin(partial(onnx.load, against))
    else:
        assert torch is not None
        reference = ModuleReference(load_module(torch, weights), taken, answered)
        origin = TorchOrigin(reference.module, taken, answered, opset(model))
    verdict = certify(model, reference, rows, config, opset=None, observer=observer)
    known = replace(
        verdict.passport,
        weights_sha256=_digest(weights if against is None else against),
        data_sha256=_digest(Path(inputs) if inputs and inputs.endswith(".npz") else None),
    )
    verdict = replace(verdict, passport=known)
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(out / "findings.json", verdict.findings)
    passport.save(out / "passport.json", verdict.passport)
    case = Case(model, reference, verdict.passport, config, verdict.worst, rows, origin)
    record(case, out, observer or Observer())
    return verdict


def _digest(path: Path | None) -> str:
    return files.sha256_file(path) if path is not None else ""


def _require_alike(model: Path, against: Path) -> None:
    """Raise `UsageError` unless both files take and answer the same tensors (names, dtypes, ranks, in order)."""
    for role, ours, theirs in zip(("inputs", "outputs"), signatures(model), signatures(against), strict=True):
        first, second = ([(t.name, t.dtype, len(t.shape)) for t in side.tensors] for side in (ours, theirs))
        if first != second:
            raise UsageError(
                f"--against {against}: its {role} (name, dtype, rank) are {second}, those of {model} {first}"
            )
