"""MLflow: one parent run for a pipeline, one nested run a stage, the bundle as a registered model.

Nothing else imports mlflow. Logging never costs a result: results are on disk before they are logged; the first failure
is remembered, later logging is skipped, and at the end `TrackingError` says how to log what is missing (the same
command does it). `mlflow.json` in the run folder remembers where each stage is logged: a kept one is not logged twice.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

# Set before the import, which reads them; a user's own values win.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # of 7, which are minutes of silence

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

from deploy import bundle
from deploy.errors import OnnxwayError
from deploy.schema import to_plain
from pipeline.folder import INPUTS, STAGES, RunFolder, kept_files
from pipeline.record import Record
from pipeline.summary import flatten, summary
from stages.observer import Observer
from stages.recipe import Recipe
from stages.report import plots
from stages.result import PackageResult, Result, TrainResult

CANDIDATE, CHAMPION = "candidate", "champion"
BUNDLE_FILES = "extra_files"  # where mlflow puts them in a logged model
TAG = "onnxway"
LEAVE_OUT = {"train": ("checkpoint/*",), "package": ("bundle/*",)}  # the bundle's files are in the logged model
_PARAMS_A_CALL, _VALUE_LENGTH, _DIGEST_LENGTH = 100, 6000, 36

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class TrackingError(OnnxwayError):
    """MLflow could not be reached, or refused."""


def store() -> str:
    """Return the address of the tracking store."""
    return str(mlflow.get_tracking_uri())


@contextmanager
def speaking() -> Iterator[None]:
    """Turn whatever MLflow raises into one line that names the store."""
    try:
        yield
    except OnnxwayError:
        raise
    except Exception as error:
        raise TrackingError(
            f"MLflow ({store()}): {_first_line(error)}; check MLFLOW_TRACKING_URI and the store: pipeline doctor"
        ) from error


def client() -> Any:
    """Return a client of the tracking store, which is made first if it is a database that is not there yet.

    Two processes that make one database at once can leave it unusable, hence the lock.
    """
    with speaking(), _database_lock():
        made = mlflow.MlflowClient()
        made.search_experiments(max_results=1)
        return made


def download(address: str, target: Path) -> Path:
    """Fetch artefacts (`runs:/<id>/<path>`, `models:/<name>/<version>/<path>`) into a folder; return where they are."""
    with speaking():
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(target)))


class Tracker:
    """Logs one command's work on one run folder; the parent run begins with the first stage that has to be logged."""

    def __init__(self, run: RunFolder, recipe: Recipe) -> None:
        self.run, self.recipe = run, recipe
        self.failure: Exception | None = None
        self.open = False
        self.status = "FINISHED"
        self._kept: list[Result] = []

    def __enter__(self) -> "Tracker":
        self.client = client()
        self.record = Record.load(self.run.path, store())
        if self.record.parent and not self._exists(self.record.parent):
            self.record = Record(store())
        if os.environ.get("MLFLOW_RUN_ID"):  # started by `mlflow run`: that run must not stay empty
            with speaking():
                self._begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.open:
            self._end("FAILED" if error and self.status == "FINISHED" else self.status)
        if self.failure and not error:
            raise TrackingError(
                f"not all was logged to MLflow ({store()}): {_first_line(self.failure)}; nothing is lost, "
                f"the results are in {self.run.path}: when MLflow works again, run the same command to log them"
            ) from self.failure

    def logged(self, stage: str, key: str) -> bool:
        """Tell whether a stage with these inputs is in the store already."""
        return self.record.stages.get(stage, {}).get("key") == key

    @contextmanager
    def stage(self, name: str) -> Iterator["StageLog"]:
        """Open the nested run of a stage; it ends FINISHED, FAILED or, after Ctrl-C, KILLED."""
        log = StageLog(self, name)
        if not self.open:
            self.attempt(self._begin)
        self.attempt(log.begin)
        try:
            yield log
        except BaseException as error:
            self.status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            raise
        else:
            self.status = "FINISHED" if log.passed else "FAILED"
        finally:
            if log.open:
                self._end(self.status)
                self.note_open("")

    def keep(self, result: Result) -> None:
        """Hear of a stage that is logged already; a new parent run shows its figures too."""
        self._kept.append(result)

    def report(self, page: Path) -> None:
        """Log the report, and the figures of kept stages, to the parent run, if there is one."""
        if self.open:
            self.attempt(lambda: mlflow.log_artifact(str(page)))
            figures = {name: value for result in self._kept for name, value in summary(result).items()}
            if self._new:
                self.attempt(lambda: self.client.log_batch(self.record.parent, metrics=_metrics(figures, 0)))

    def attempt(self, call: Callable[[], object]) -> None:
        """Log something, unless logging has failed before; remember the first failure."""
        if self.failure:
            return
        try:
            call()
        except Exception as error:
            self.failure = error

    def _begin(self) -> None:
        params = flatten(self.recipe)
        if os.environ.get("MLFLOW_RUN_ID"):
            active = mlflow.start_run()
        elif self.record.parent and not self._contradicts(self.record.parent, params):
            active = mlflow.start_run(run_id=self.record.parent)
        else:
            active = mlflow.start_run(run_name=self.run.path.name)
        self.open = True
        self._new = active.info.run_id != self.record.parent
        self.record.parent = active.info.run_id
        known = self.client.get_run(self.record.parent).data.params
        log_params({key: value for key, value in params.items() if key not in known})
        mlflow.set_tags(self.tags())

    def note_open(self, run_id: str) -> None:
        """Note which stage is under way; one noted before belonged to a process that was killed (we hold the lock)."""
        if run_id and self.record.open:
            with contextlib.suppress(mlflow.MlflowException):
                self.client.set_terminated(self.record.open, "KILLED")
        self.record.open = run_id
        self.record.save(self.run.path)

    def _end(self, status: str) -> None:
        try:
            mlflow.end_run(status)
        except Exception as error:
            self.failure = self.failure or error

    def _exists(self, run_id: str) -> bool:
        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except mlflow.MlflowException:
            return False

    def _contradicts(self, run_id: str, params: dict[str, str]) -> bool:
        known = self.client.get_run(run_id).data.params
        return any(known.get(key, value) != value for key, value in params.items())

    def tags(self) -> dict[str, str]:
        """Return what makes a run folder out of a run id on another machine: its name, and each stage's run."""
        stages = {f"{TAG}.run.{stage}": entry["run"] for stage, entry in self.record.stages.items()}
        return {f"{TAG}.folder": self.run.path.name, f"{TAG}.recipe": self.recipe.name} | stages


class StageLog(Observer):
    """The nested run of one stage: hears its metrics while it works, and takes its result at the end."""

    def __init__(self, tracker: Tracker, stage: str) -> None:
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
        tracker.client.log_batch(tracker.record.parent, metrics=_metrics(figures, 0))
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
        self.tracker.client.log_batch(self.run_id, metrics=_metrics(values, step))

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


def log_params(params: dict[str, str]) -> None:
    """Log parameters to the active run, in as few calls as the store takes."""
    entries = [Param(key, value[:_VALUE_LENGTH]) for key, value in params.items()]
    for start in range(0, len(entries), _PARAMS_A_CALL):
        run_id = mlflow.active_run().info.run_id
        mlflow.MlflowClient().log_batch(run_id, params=entries[start : start + _PARAMS_A_CALL])


def _metrics(values: dict[str, float], step: int) -> list[Any]:
    now = mlflow.utils.time.get_current_time_millis()
    return [Metric(name, float(value), now, step) for name, value in values.items()]


@contextmanager
def _database_lock() -> Iterator[None]:
    address = store()
    if not address.startswith("sqlite:///"):
        yield
        return
    with Path(f"{address.removeprefix('sqlite:///')}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _verdict(result: Result) -> str:
    return "passed" if result else "failed"


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0].rstrip(".;") or type(error).__name__
    if "Max retries exceeded" in text:
        cause = re.search(r"\[Errno -?\d+\] ([\w ]+)", text)
        return f"no connection ({cause[1] if cause else 'given up after several attempts'})"
    return text


def models() -> dict[str, list[Any]]:
    """Return the registered models by name, each with its versions, the newest first; versions know their aliases."""
    api = client()
    with speaking():
        found: dict[str, list[Any]] = {}
        for model in api.search_registered_models():
            versions = api.search_model_versions(f"name='{model.name}'")
            for version in versions:  # a search leaves aliases out
                version.aliases = [a for a, number in model.aliases.items() if str(number) == str(version.version)]
            found[model.name] = sorted(versions, key=lambda version: int(version.version), reverse=True)
        return found


def set_alias(name: str, alias: str, version: str) -> None:
    """Point an alias of a registered model to a version."""
    api = client()
    with speaking():
        api.set_registered_model_alias(name, alias, version)


def run_tags(run_id: str) -> dict[str, str]:
    """Return the tags of a run; `TrackingError` when there is no such run."""
    api = client()
    with speaking():
        return dict(api.get_run(run_id).data.tags)
