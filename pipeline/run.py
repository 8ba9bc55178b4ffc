"""The walk: stages in order, what has not changed is kept, a failing verdict ends it."""

import importlib
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from deploy import files
from deploy.errors import OnnxwayError, UsageError
from deploy.schema import from_plain, to_plain
from pipeline import verdict
from pipeline.code import code_version
from pipeline.failures import InterruptedStageError
from pipeline.folder import STAGES, RunFolder, with_key
from stages import discover
from stages.observer import Observer
from stages.ranks import ranks
from stages.recipe import Recipe, replace
from stages.result import Result, TrainResult, VerifyResult

if TYPE_CHECKING:
    from pipeline.tracking import Tracker
    from stages.dataset import Dataset

# Names become folders, and models in MLflow's registry.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
LEAVE_OUT = ("checkpoint/*",)
# Where a training runs, not what comes out of it: another device goes on with what is there (as checkpoints do).
WHERE_NOT_WHAT = ("device", "workers", "memory_mb", "checkpoint_s")


class VerdictError(OnnxwayError):
    """A stage ended with a falsy result; nothing after it was done. `folder` has what was found."""

    def __init__(self, message: str, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder


@dataclass(frozen=True)
class Work:
    """What a walk is made on, and who hears of it. `data` is read once, when a stage first needs it.

    sign     private key for the bundle; what is signed is packaged anew
    given    the recipe's data, when it has been read already
    """

    recipe: Recipe
    data_root: Path
    observer: Observer = field(default_factory=Observer)
    sign: Path | None = None
    given: "Dataset | None" = None

    @cached_property
    def data(self) -> "Dataset":
        """The dataset of the recipe."""
        return self.given or read_data(self.recipe, self.data_root)


def read_data(recipe: Recipe, data_root: Path) -> "Dataset":
    """Read the data that a recipe names."""
    dataset: Dataset = discover.call("data", recipe.data, data_root)
    return dataset


def run(
    recipe: Recipe,
    *,
    runs: Path,
    data_root: Path,
    observer: Observer,
    last: str = "package",
    force: bool = False,
    aside: bool = False,
    data: "Dataset | None" = None,
) -> Path:
    """Walk from training to the stage `last` in the run folder of this recipe; return that folder.

    aside    do not make it the latest run
    data     the recipe's dataset, when the caller has read it already

    Raises `VerdictError` when a stage's result is falsy (report and MLflow have it by then),
    `InterruptedStageError`, `BusyError`, and whatever a stage raises.
    """
    if not _NAME.fullmatch(recipe.name):
        raise UsageError(f"recipe name {recipe.name!r}: expected letters, digits, '.', '_' and '-' only")
    work = Work(recipe, data_root, observer, given=data)
    folder, inputs = place(recipe, work.data.info.digest, runs)
    if force or not folder.inputs("train"):
        check_components(recipe)  # before a folder is made, and an MLflow run begun, for a misspelt option
    if ranks().leads:
        names = list(STAGES)[: list(STAGES).index(last) + 1]
        _walk(work, folder, names, force, aside)
    elif force or folder.kept("train", inputs) is None:  # another process of a distributed training: it only computes
        importlib.import_module("stages.train").run(recipe, work.data, folder.stage("train"), observer)
    return folder.path


def place(recipe: Recipe, data_digest: str, runs: Path) -> tuple[RunFolder, dict[str, Any]]:
    """Return the run folder of a recipe on data, which need not exist yet, and what decides the training there."""
    inputs = train_inputs(recipe, data_digest)
    return RunFolder(runs / f"{recipe.name}-{inputs['key'][:8]}"), inputs


def check_components(recipe: Recipe) -> None:
    """Raise `UsageError` for a component that is not there, or an option that it does not take."""
    for where, component in (("inputs", recipe.input), ("models", recipe.model), ("tasks", recipe.task)):
        discover.resolve(where, component)


def redo(
    folder: RunFolder,
    stage: str,
    settings: tuple[str, ...],
    *,
    data_root: Path,
    observer: Observer,
    force: bool,
    sign: Path | None = None,
) -> Result:
    """Make one later stage of a run again, from the results before it, as it was configured there and by `--set`."""
    before = list(STAGES)[list(STAGES).index(stage) - 1]
    folder.result(before)  # says what to run first
    work = Work(configured(folder, stage, settings), data_root, observer, sign)
    return _walk(work, folder, [stage], force or sign is not None)


def configured(folder: RunFolder, stage: str, settings: tuple[str, ...]) -> Recipe:
    """Return the recipe of a run: each later stage as it was last made there; then `settings` of one stage applied."""
    from stages import settings as setting

    trained = folder.result("train")
    assert isinstance(trained, TrainResult)
    recipe = trained.recipe
    for name in ("export", "verify", "package"):
        noted = folder.inputs(name).get("config")
        try:
            config = from_plain(type(getattr(recipe, name)), noted)
        except UsageError:
            continue  # not made there yet, or by another version
        recipe = replace(recipe, **{name: config})
    for text in settings:
        if not text.startswith(f"{stage}."):
            raise UsageError(
                f"--set {text}: pipeline {stage} takes keys of its own stage, {stage}.KEY=VALUE; "
                f"for others start from the recipe: pipeline run {recipe.name} --set {text}"
            )
    return setting.apply(recipe, settings)


def train_inputs(recipe: Recipe, data_digest: str) -> dict[str, Any]:
    """Return what decides a training, with its key."""
    plain = to_plain(recipe)
    config = {name: plain[name] for name in ("data", "input", "model", "task")}
    config["train"] = {name: value for name, value in plain["train"].items() if name not in WHERE_NOT_WHAT}
    initial = recipe.model.options.get("weights")
    if isinstance(initial, str) and Path(initial).is_file():
        config["initial_weights"] = files.sha256_file(Path(initial))
    return with_key({"stage": "train", "config": config, "data": data_digest, "code": code_version("train")})


def later_inputs(stage: str, config: Any, upstream: Result, upstream_key: str) -> dict[str, Any]:
    """Return what decides a later stage, with its key."""
    before = {"stage": upstream.stage, "key": upstream_key, "digest": upstream.digest}
    return with_key({"stage": stage, "config": to_plain(config), "upstream": before, "code": code_version(stage)})


def _walk(work: Work, folder: RunFolder, names: list[str], force: bool, aside: bool = False) -> Result:
    from pipeline import tracking

    tracking.client()  # a store that cannot be reached is said before a folder is made
    with folder.locked(aside=aside), terminable(), tracking.Tracker(folder, work.recipe) as tracker:
        made = False
        for name in names:
            with _explained(name, folder):
                kept = None if force else _keep(work, folder, name, tracker)
                made = made or kept is None
                result = _make(work, folder, name, tracker, force) if kept is None else kept
            if not result:
                break
        with _explained("the report", folder):
            page = _report(folder, work, made)
            tracker.report(page)
        if not aside:
            folder.link()
        if isinstance(result, VerifyResult):
            for line in verdict.lines(result.passport, "model.onnx"):
                work.observer.say(line)
        work.observer.say(f"{'report':<9}{page}")
    if not result:
        raise VerdictError(_refusal(result, folder), folder.path)
    return result


def _keep(work: Work, folder: RunFolder, name: str, tracker: "Tracker") -> Result | None:
    """Return a stage's result if it was made from the same inputs; log it unless it is logged."""
    inputs = _inputs(work, folder, name)
    kept = folder.kept(name, inputs)
    if kept is None:
        return None
    work.observer.say(f"{name:<9}unchanged, kept: {outcome(kept)}")
    if tracker.logged(name, inputs["key"]):
        tracker.keep(kept)
    else:
        with tracker.stage(name) as log:
            log.finish(kept, inputs["key"])
    return kept


def _make(work: Work, folder: RunFolder, name: str, tracker: "Tracker", force: bool) -> Result:
    from pipeline.console import Tee

    inputs = _inputs(work, folder, name)
    out = folder.begin(name, inputs, force=force)
    with tracker.stage(name) as log:
        result = _call(work, folder, name, out, Tee(work.observer, log), log.run_id)
        folder.seal(name, inputs, LEAVE_OUT)
        log.finish(result, inputs["key"])
    work.observer.say(f"{name:<9}{outcome(result)}")
    return result


def _inputs(work: Work, folder: RunFolder, name: str) -> dict[str, Any]:
    if name == "train":
        return train_inputs(work.recipe, work.data.info.digest)
    before = list(STAGES)[list(STAGES).index(name) - 1]
    key = folder.inputs(before).get("key", "")
    return later_inputs(name, getattr(work.recipe, name), folder.result(before), key)


def _call(work: Work, folder: RunFolder, name: str, out: Path, observer: Observer, mlflow_run: str) -> Result:
    stage = importlib.import_module(f"stages.{name}")
    result: Result
    if name == "train":
        result = stage.run(work.recipe, work.data, out, observer)
    elif name == "export":
        result = stage.run(work.recipe.export, folder.result("train"), out, observer)
    elif name == "verify":
        result = stage.run(work.recipe.verify, folder.result("export"), work.data, out, observer)
    else:
        traced = {"mlflow_run": mlflow_run} if mlflow_run else {}
        verified = folder.result("verify")
        result = stage.run(work.recipe.package, verified, work.data, out, observer, provenance=traced, sign=work.sign)
    return result


def _report(folder: RunFolder, work: Work, made: bool) -> Path:
    """Write the report, unless nothing has changed; data that no stage needed (export alone) is not read for it."""
    page = folder.path / "report.html"
    if made or not page.exists():
        importlib.import_module("stages.report").write(folder.path, vars(work).get("data"))
    return page


def outcome(result: Result) -> str:
    """Return in a few words what a stage came to."""
    if isinstance(result, TrainResult):
        return ", ".join(f"{name} {value:.4f}" for name, value in result.metrics.items())
    if isinstance(result, VerifyResult):
        worst = max(result.ratios.values(), default=float("nan"))
        verdict = "passed" if result else "FAILED"
        limit = result.passport.limit
        return f"{verdict}: noise ratio {worst:.2f} of {limit:g}, {result.flips} flips in {result.rows} rows"
    return f"{result.digest[:12]} (SHA-256)"


def _refusal(result: Result, folder: RunFolder) -> str:
    reasons = ""
    if isinstance(result, VerifyResult):
        reasons = ": " + "; ".join(f"{check.name} ({check.detail})" for check in result.passport.failures())
    return f"{result.stage} failed{reasons}; nothing after it was made; see {folder.path / 'report.html'}"


@contextmanager
def _explained(name: str, folder: RunFolder) -> Iterator[None]:
    """Say where it was when somebody stops a stage; name the run folder where an error of the system names no file."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedStageError(
            f"interrupted in {name}; finished stages and the last checkpoint are kept in {folder.path}; "
            "run the same command to continue"
        ) from None
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(folder.stage(name))
        raise


@contextmanager
def terminable() -> Iterator[None]:
    """Inside the block, treat SIGTERM like Ctrl-C, so that MLflow runs are ended and not left RUNNING."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
