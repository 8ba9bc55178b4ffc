"""Verify: does the file on disk decide as the trained network does? The answer is a passport for exactly that file."""

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from deploy import files, passport, samples
from deploy.providers import Provider
from stages import result
from stages.dataset import Dataset
from stages.deployed import Deployed, Partial, deployed
from stages.errors import VerifyError
from stages.observer import Observer
from stages.recipe import Precision, VerifyConfig
from stages.result import ExportResult, VerifyResult
from stages.train.weights import load_graph
from stages.verify.blame import Case, TorchOrigin, record
from stages.verify.certify import certify
from stages.verify.material import Material
from stages.verify.reference import Outputs
from stages.verify.regression import regression_samples
from stages.verify.session import open_model
from stages.verify.twin import Twin
from stages.verify.worst import Worst

REFERENCE = "the trained network"


def run(
    config: VerifyConfig, exported: ExportResult, dataset: Dataset, out: Path, observer: Observer | None = None
) -> VerifyResult:
    """Judge `model.onnx` as it lies on disk, in fresh sessions; the result is falsy when any check fails.

    Raises `VerifyError` when the question itself is wrong: other data than the model was trained with, or a file
    that is not the one that was exported.
    """
    started = time.monotonic()
    trained = exported.trained
    if dataset.info.digest != trained.data.digest:
        raise VerifyError(
            f"the data ({dataset.info.name}) has digest {dataset.info.digest[:12]}..., the model was trained with "
            f"{trained.data.digest[:12]}...; point --data-root at the same data, or train again"
        )
    found = files.sha256_file(exported.model)
    if found != exported.sha256:
        raise VerifyError(
            f"{exported.model}: SHA-256 is {found[:12]}..., the export wrote {exported.sha256[:12]}...; "
            f"export again: pipeline export {exported.folder.parent} --force"
        )
    graph = load_graph(trained)
    judged = deployed(graph)
    twin = Twin(judged)
    material = Material.deployed(judged, dataset)
    verdict = certify(exported.model, twin, material, config, opset=exported.opset, observer=observer)
    answers = verdict.answers
    if answers and isinstance(judged, Partial):
        answers = judged.whole(open_model(exported.model, config.providers[0]), dataset.test)
    metrics = graph.task.metrics(answers, dataset.test.targets) if answers else {}
    out.mkdir(parents=True, exist_ok=True)
    verified = VerifyResult(
        folder=out,
        exported=exported,
        passport=replace(
            verdict.passport,
            weights_sha256=trained.weights_sha256,
            data_sha256=trained.data.digest,
            reference=REFERENCE,
        ),
        ratios=verdict.ratios,
        metrics=metrics,
        rows=verdict.passport.rows,
        flips=verdict.total("flips"),
        ties=verdict.total("ties"),
        seconds=time.monotonic() - started,
    )
    _save_answers(verified.answers, answers)
    _save_worst(verified, Worst([*verdict.worst.batches, *verdict.hunted]), twin)
    passport.save(out / "passport.json", verified.passport)
    files.write_json(verified.findings, verdict.findings)
    origin = TorchOrigin.of(cast("Deployed", twin.single), exported.opset)
    case = Case(exported.model, twin, verdict.passport, config, verdict.worst, material, origin)
    record(case, out, observer or Observer())
    return result.save(verified)


def _save_worst(verified: VerifyResult, worst: Worst, twin: Twin) -> None:
    """Keep the inputs that were answered worst, for the bundle; nothing when there will be none."""
    if verified:
        judged = twin.at(cast("Precision", verified.passport.precision))
        answer = open_model(verified.exported.model, cast("Provider", verified.passport.providers[0]))
        kept = list(regression_samples(worst, answer, judged))
        if kept:
            samples.save(verified.worst, kept)


def _save_answers(path: Path, answers: Outputs) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **answers)
    files.write_bytes(path, buffer.getvalue())
