"""The nested run of one stage, and the bundle as a registered model."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag

from deploy import bundle
from deploy.schema import to_plain
from pipeline.folder import INPUTS, STAGES, kept_files
from pipeline.summary import flatten, summary
from pipeline.tracking.store import TAG, log_params, metric_entries
from stages.observer import Observer
from stages.report import plots
from stages.result import PackageResult, Result, TrainResult

if TYPE_CHECKING:
    from pipeline.tracking.tracker import Tracker

CANDIDATE = "candidate"
BUNDLE_FILES = "extra_files"  # where mlflow puts them in a logged model
LEAVE_OUT = {"train": ("checkpoint/*",), "package": ("bundle/*",)}  # the bundle's files are in the logged model
_DIGEST_LENGTH = 36


class StageLog(Observer):
    """The nested run of one stage: hears its metrics while it works, and takes its result at the end."""

    def __init__(self, tracker: "Tracker", stage: str) -> None:
        self.tracker, self.stage = tracker, stage
        self.open = False
        self.passed = True
        self.run_id = ""
        self._steps: set[int] = set()

    def begin(self) -> None:
        """Start the nested run, with the part of the recipe that belongs to the stage."""
        active = mlflow.start_run(run_name=self.stage, nested=True, log_system_metrics=self.stage == "train")
        self.open, self.run_id = True, active.info.run_id
        self.tracker.note_open(self.run_id)
        own = ("data", "input", "model", "task", "train") if self.stage == "train" else (self.stage,)
        flat = flatten(self.tracker.recipe)
        log_params({key: value for key, value in flat.items() if key.partition(".")[0] in own})

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Log the figures of an epoch."""
        self._steps.add(step)
        self.tracker.attempt(lambda: self._log_metrics(values, step))

    def finish(self, result: Result, key: str) -> None:
        """Log a finished stage from what it left on disk, and note where in the run folder."""
        self.passed = bool(result)
        self.tracker.attempt(lambda: self._finish(result, key))

    def _finish(self, result: Result, key: str) -> None:
        tracker = self.tracker
        entry = {"run": self.run_id, "key": key}
        if isinstance(result, TrainResult):
            self._log_training(result)
        if isinstance(result, PackageResult):
            entry["model"] = self._register(result)
        for path in (*kept_files(result.folder, LEAVE_OUT.get(self.stage, ())), result.folder / INPUTS):
            below = path.parent.relative_to(result.folder.parent).as_posix()
            mlflow.log_artifact(str(path), below)
        figures = summary(result)
        self._log_metrics(figures, 0)
        tracker.client.log_batch(tracker.record.parent, metrics=metric_entries(figures, 0))
        for later in list(STAGES)[list(STAGES).index(self.stage) :]:  # they were made from another one
            tracker.record.stages.pop(later, None)
        tracker.record.stages[self.stage] = entry
        for run_id in (self.run_id, tracker.record.parent):
            for tag, value in tracker.tags().items():
                tracker.client.set_tag(run_id, tag, value)
        mlflow.set_tags(
            {f"{TAG}.stage": self.stage, f"{TAG}.digest": result.digest, f"{TAG}.verdict": _verdict(result)}
        )
        tracker.record.save(tracker.run.path)

    def _log_metrics(self, values: dict[str, float], step: int) -> None:
        self.tracker.client.log_batch(self.run_id, metrics=metric_entries(values, step))

    def _log_training(self, result: TrainResult) -> None:
        for step, epoch in enumerate(result.history, start=1):
            if step not in self._steps:  # epochs before an interruption, or a training that is logged later
                self._log_metrics({k: v for k, v in epoch.items() if k != "epoch"}, step)
        data = Dataset(
            name=result.data.name,
            digest=result.data.digest[:_DIGEST_LENGTH],
            source_type=TAG,
            source=json.dumps(to_plain(result.recipe.data)),
            profile=json.dumps({"sizes": result.data.sizes, "sha256": result.data.digest}),
        )
        inputs = [DatasetInput(data, [InputTag("mlflow.data.context", "training")])]
        for run_id in (self.run_id, self.tracker.record.parent):
            self.tracker.client.log_inputs(run_id, datasets=inputs)
        mlflow.set_tag(f"{TAG}.data_sha256", result.data.digest)
        if result.history:
            mlflow.log_text(plots.curves(result.history), "curves.svg")

    def _register(self, result: PackageResult) -> str:
        """Log the bundle as an ONNX model, register it under its name and point `candidate` to it."""
        manifest = bundle.load(result.bundle).manifest
        info = log_model(result.bundle, manifest)
        api = self.tracker.client
        with contextlib.suppress(mlflow.MlflowException):  # it exists already
            api.create_registered_model(result.name)
        version = api.create_model_version(
            result.name,
            source=info.model_uri,
            run_id=self.run_id,
            model_id=info.model_id,
            tags={
                f"{TAG}.bundle_sha256": result.bundle_sha256,
                f"{TAG}.model_sha256": manifest.variants["fp32"].passport.model_sha256,
                f"{TAG}.verdict": _verdict(result.verified),
                f"{TAG}.run": self.run_id,
            },
        )
        api.set_registered_model_alias(result.name, CANDIDATE, version.version)
        mlflow.set_tag(f"{TAG}.model", f"{result.name}/{version.version}")
        return f"{result.name}/{version.version}"


def log_model(folder: Path, manifest: bundle.Manifest) -> Any:
    """Log a bundle in the ONNX flavour, with all its files beside it, byte for byte."""
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(signature: bundle.Signature) -> Any:
        return Schema(
            [
                TensorSpec(np.dtype(t.dtype), tuple(s if isinstance(s, int) else -1 for s in t.shape), t.name)
                for t in signature.tensors
            ]
        )

    return mlflow.onnx.log_model(
        onnx.load(folder / manifest.variants["fp32"].file),
        name="model",
        signature=ModelSignature(schema(manifest.input), schema(manifest.output)),
        pip_requirements=["numpy", "onnx", "onnxruntime"],
        save_as_external_data=False,
        extra_files=[str(path) for path in sorted(folder.iterdir())],
    )


def _verdict(result: Result) -> str:
    return "passed" if result else "failed"
