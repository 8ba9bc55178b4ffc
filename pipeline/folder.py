"""A run folder: what each stage was made from, whether it is still as it was left, and who works there.

    <recipe>-<8 digits of the train key>/
      train/ export/ verify/ package/   one folder a stage: its result and artefacts, and `inputs.json`
      report.html                       everything on one page
      mlflow.json                       where it is logged
      .lock                             held while a command works there; its time tells which run is the latest

`inputs.json` says what a stage was made from (config, code, and the stage before it) and the SHA-256 of each file it
left. It is written before the stage starts, after the old result has been removed, so a half-done stage is never taken
for a done one; the digests of the files are added at the end.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import files
from deploy.errors import NotFoundError, OnnxwayError
from stages.result import RESULT, ExportResult, PackageResult, Result, TrainResult, VerifyResult, load

STAGES: dict[str, type[Any]] = {kind.stage: kind for kind in (TrainResult, ExportResult, VerifyResult, PackageResult)}
INPUTS = "inputs.json"
LOCK = ".lock"


class BusyError(OnnxwayError):
    """Another command works in the same run folder."""


@dataclass(frozen=True)
class RunFolder:
    """One run folder; the path need not exist yet."""

    path: Path

    def stage(self, name: str) -> Path:
        """Return the folder of a stage."""
        return self.path / name

    def result(self, name: str) -> Result:
        """Read a stage's result; `NotFoundError` says which command makes it."""
        result: Result = load(STAGES[name], self.path)
        return result

    def results(self) -> dict[str, Result]:
        """Return the results that are there, in the order of the stages."""
        found: dict[str, Result] = {}
        for name in STAGES:
            try:
                found[name] = self.result(name)
            except NotFoundError:
                break
        return found

    def inputs(self, name: str) -> dict[str, Any]:
        """Return what a stage was made from; empty when it was not made, or when the record is damaged."""
        try:
            plain = json.loads((self.stage(name) / INPUTS).read_bytes())
        except (OSError, ValueError):
            return {}
        return plain if isinstance(plain, dict) else {}

    def kept(self, name: str, inputs: dict[str, Any]) -> Result | None:
        """Return the stage's result when it was made from these inputs and every file of it is as it was left."""
        before = self.inputs(name)
        if before.get("key") != inputs["key"] or not self.intact(name):
            return None
        try:
            return self.result(name)
        except NotFoundError:
            return None

    def intact(self, name: str) -> bool:
        """Tell whether the files of a stage have the digests noted when it was done."""
        noted = self.inputs(name).get("files", {})
        try:
            return all(files.sha256_file(self.stage(name) / file) == digest for file, digest in noted.items())
        except OSError:
            return False

    def begin(self, name: str, inputs: dict[str, Any], *, force: bool) -> Path:
        """Make a stage's folder ready: no old result of it or of later ones, and note the inputs.

        Two stages find what else is there: training goes on from its own checkpoint, and packaging exchanges the old
        bundle for the new one in one step. `force` clears that too.
        """
        later = list(STAGES)[list(STAGES).index(name) :]
        for stage in reversed(later):
            (self.stage(stage) / RESULT).unlink(missing_ok=True)
        folder = self.stage(name)
        continues = name == "package" or (name == "train" and self.inputs(name).get("key") == inputs["key"])
        if force or not continues:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / INPUTS, inputs)
        return folder

    def seal(self, name: str, inputs: dict[str, Any], leave_out: tuple[str, ...]) -> None:
        """Note the digests of the files that a finished stage left, but for those that match a pattern."""
        folder = self.stage(name)
        noted = {str(path.relative_to(folder)): files.sha256_file(path) for path in kept_files(folder, leave_out)}
        files.write_json(folder / INPUTS, inputs | {"files": noted})

    @contextmanager
    def locked(self, *, aside: bool = False) -> Iterator[None]:
        """Hold the folder for this process; `BusyError` when somebody else holds it.

        It becomes the latest run, unless it is made `aside`: what another run needs is not what people go on with.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = self.path / LOCK
        before = lock.stat().st_mtime_ns if lock.exists() else 0
        with lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise BusyError(
                    f"{self.path}: another pipeline command works there (process {holder}); wait for it, "
                    "or use another folder: --runs FOLDER"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            if aside:
                os.utime(lock, ns=(before, before))
            else:
                self.touch()
            yield

    def touch(self) -> None:
        """Make this the latest run."""
        (self.path / LOCK).touch()
        now = time.time_ns()
        os.utime(self.path / LOCK, ns=(now, now))

    def link(self) -> None:
        """Let `latest` beside the run folders lead here: a convenience for people, nothing depends on it."""
        link = self.path.parent / "latest"
        made = link.with_name(f".latest.{os.getpid()}")
        with suppress(OSError):  # a file system without links
            made.symlink_to(self.path.name, target_is_directory=True)
            made.replace(link)


def kept_files(folder: Path, leave_out: tuple[str, ...]) -> list[Path]:
    """Return a stage's files that count, sorted: no hidden ones, no record of inputs, none that match a pattern."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and str(name) != INPUTS and not any(name.match(p) for p in leave_out):
            found.append(path)
    return found


def latest(runs: Path) -> Path:
    """Return the run folder that was worked in last, of those with a trained network; `NotFoundError` without any."""
    for run in all_runs(runs):
        if (run / "train" / RESULT).is_file():
            return run
    raise NotFoundError(f"{runs}: no trained run there; make one: pipeline run, or name another folder: --runs FOLDER")


def all_runs(runs: Path) -> list[Path]:
    """Return the run folders, the latest first."""
    found = (lock for lock in runs.glob(f"*/{LOCK}") if not lock.parent.is_symlink())
    locks = sorted(found, key=lambda lock: lock.stat().st_mtime_ns, reverse=True)
    return [lock.parent for lock in locks]


def with_key(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs with their own digest as `key`."""
    return inputs | {"key": files.sha256(files.render_json(inputs))}
