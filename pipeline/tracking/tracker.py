"""One command's work on one run folder, as a parent run."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import mlflow

from pipeline.folder import RunFolder
from pipeline.record import Record
from pipeline.summary import flatten, summary
from pipeline.tracking.stagelog import StageLog
from pipeline.tracking.store import TAG, TrackingError, client, first_line, log_params, metric_entries, speaking, store
from stages.recipe import Recipe
from stages.result import Result


class Tracker:
    """Logs one command's work on one run folder; the parent run begins with the first stage that has to be logged.

    Inside a sweep's run it is a child of that.
    """

    def __init__(self, run: RunFolder, recipe: Recipe) -> None:
        self.run, self.recipe = run, recipe
        self.failure: Exception | None = None
        self.open = False
        self.status = "FINISHED"
        self._kept: list[Result] = []

    def __enter__(self) -> "Tracker":
        self.client = client()
        self.record = Record.load(self.run.path, store())
        if self.record.parent and not self._usable(self.record.parent):
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
                f"not all was logged to MLflow ({store()}): {first_line(self.failure)}; nothing is lost, "
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
                self.attempt(lambda: self.client.log_batch(self.record.parent, metrics=metric_entries(figures, 0)))

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
            active = mlflow.start_run(run_id=self.record.parent, nested=True)
        else:
            active = mlflow.start_run(run_name=self.run.path.name, nested=True)
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

    def _usable(self, run_id: str) -> bool:
        """Tell whether a run is there and, inside a sweep, belongs to it; else everything is logged anew."""
        above = mlflow.active_run()
        try:
            run = self.client.get_run(run_id)
        except mlflow.MlflowException:
            return False
        belongs = above is None or run.data.tags.get("mlflow.parentRunId") == above.info.run_id
        return bool(run.info.lifecycle_stage == "active" and belongs)

    def _contradicts(self, run_id: str, params: dict[str, str]) -> bool:
        known = self.client.get_run(run_id).data.params
        return any(known.get(key, value) != value for key, value in params.items())

    def tags(self) -> dict[str, str]:
        """Return what makes a run folder out of a run id on another machine: its name, and each stage's run."""
        stages = {f"{TAG}.run.{stage}": entry["run"] for stage, entry in self.record.stages.items()}
        return {f"{TAG}.folder": self.run.path.name, f"{TAG}.recipe": self.recipe.name} | stages
