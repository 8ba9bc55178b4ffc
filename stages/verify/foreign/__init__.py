"""Models that were not trained here: held against a torch module of the user's own, another ONNX file, or itself."""

from dataclasses import replace
from pathlib import Path

from deploy import files, passport
from stages.observer import Observer
from stages.recipe import VerifyConfig
from stages.verify.blame import Case, record
from stages.verify.certify import Verdict, certify
from stages.verify.foreign.subject import Sources, Subject, subject

__all__ = ["Sources", "Subject", "subject", "verify", "verify_file"]


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
    """Judge any ONNX file against a torch module (`torch`, with `weights`), another ONNX file (`against`), or itself.

    inputs    see `signature.material`
    out       folder for passport.json and findings.json

    Raises `UsageError` or `VerifyError` when the question itself is wrong; a fault of the model is a failing verdict.
    """
    return verify(subject(model, Sources(torch, weights, against, inputs)), config, out, observer)


def verify(subject: Subject, config: VerifyConfig, out: Path, observer: Observer | None = None) -> Verdict:
    """Judge a file that was opened as a subject; see `verify_file`."""
    model, reference, rows = subject.model, subject.reference, subject.material
    verdict = certify(model, reference, rows, config, opset=None, observer=observer)
    known = replace(
        verdict.passport,
        weights_sha256=subject.weights_sha256,
        data_sha256=subject.data_sha256,
        reference=subject.words,
        unproven=tuple(subject.unproven(config)),
    )
    verdict = replace(verdict, passport=known)
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(out / "findings.json", verdict.findings)
    passport.save(out / "passport.json", verdict.passport)
    case = Case(model, reference, verdict.passport, config, verdict.worst, rows, subject.origin)
    record(case, out, observer or Observer())
    return verdict
