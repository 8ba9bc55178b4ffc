"""Many trainings of one recipe, compared by validation: every point of a grid, or those that a search proposes.

    runs/sweeps/<recipe>-<8 digits of what is swept>/sweep.json    the points so far, and where the sweep is logged

A point is a run like any other, trained and no more. What is finished is kept by the run folder itself, so the same
command goes on where it stopped, and tries again what failed.
"""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import files
from deploy.errors import OnnxwayError, UsageError
from deploy.schema import from_plain, to_plain
from pipeline import failures, run, search
from pipeline.folder import RunFolder
from pipeline.space import Choices, Settings, Span, grid, require_distinct
from pipeline.summary import flatten
from stages import discover, settings
from stages.observer import Observer
from stages.recipe import Component, Recipe, replace
from stages.result import TrainResult, load

if TYPE_CHECKING:
    from stages.dataset import Dataset

RECORD = "sweep.json"
FOLDER = "sweeps"


@dataclass(frozen=True)
class Plan:
    """What is swept.

    reference    of the recipe, as on the command line
    base         settings that all points share
    trials       points of a search; 0: every combination of the choices
    """

    reference: str
    base: Settings
    axes: tuple[Choices | Span, ...]
    trials: int = 0
    device: str | None = None

    def recipe(self, point: Settings) -> Recipe:
        """Return the recipe of a point; raises `UsageError` for a setting that does not fit."""
        made = settings.apply(discover.recipe(self.reference), (*self.base, *point))
        run.check_components(made)
        return replace(made, train={"device": self.device}) if self.device else made

    def command(self, point: Settings) -> str:
        """Return the command that makes a point again, and its bundle."""
        words = ["pipeline", "run", self.reference, *(w for s in (*self.base, *point) for w in ("--set", s))]
        return shlex.join([*words, *(("--device", self.device) if self.device else ())])


@dataclass(frozen=True)
class Point:
    """One training: its run folder and its validation metric, or why it failed.

    chosen    what the training made of values that left the choice to it, such as train.precision=auto
    """

    settings: Settings
    run: str = ""
    score: float | None = None
    epoch: int = 0
    seconds: float = 0.0
    chosen: dict[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass
class Sweep:
    """A sweep under way, or finished: the points so far in the order in which they were made."""

    metric: str = ""
    mlflow_run: str = ""
    points: tuple[Point, ...] = ()

    def put(self, point: Point) -> None:
        """Add a point, or replace what is known of it."""
        self.points = (*(other for other in self.points if other.settings != point.settings), point)

    def ranked(self) -> list[Point]:
        """Return the points, the best by validation first, those that failed last."""
        return sorted(self.points, key=lambda point: (point.score is None, -(point.score or 0.0)))

    def unlike(self) -> dict[str, list[str]]:
        """Return what was chosen in some points and otherwise in others, by key: that is compared too."""
        done = [point.chosen for point in self.points if point.score is not None]
        values = {
            key: sorted({one.get(key, "") for one in done}) for key in dict.fromkeys(k for one in done for k in one)
        }
        return {key: several for key, several in values.items() if len(several) > 1}

    def failed(self) -> list[Point]:
        """Return the points without a score."""
        return [point for point in self.points if point.score is None]


class SweepError(OnnxwayError):
    """Points of a sweep failed; the others are finished, and in `sweep`."""

    def __init__(self, sweep: Sweep) -> None:
        failed = sweep.failed()
        names = ", ".join(" ".join(point.settings) for point in failed[:3])
        super().__init__(
            f"{len(failed)} of {len(sweep.points)} points failed ({names}{', ...' if len(failed) > 3 else ''}); "
            "the others are kept, run the same command to try these again"
        )
        self.sweep = sweep


def make(plan: Plan, *, runs: Path, data_root: Path, observer: Observer) -> Sweep:
    """Train the points of a plan that are not trained yet, in one MLflow run with a child for each; return all.

    A point that fails is noted and the others are made; in the end `SweepError` names it. Raises `UsageError` before
    anything is trained for a setting that does not fit, and for data without a validation split: points are never
    chosen by test data.
    """
    points = _checked(plan)
    data = _Data(data_root)
    base = plan.recipe(points[0])
    metric = _metric(base, data.of(base))
    folder = RunFolder(runs / FOLDER / f"{base.name}-{_key(plan)[:8]}")
    with folder.locked(), run.terminable():
        before = _load(folder.path)
        swept = Sweep(metric, before.mlflow_run)
        with _tracked(plan, swept, folder.path):
            for number, point in enumerate(_proposed(plan, points, before, swept), start=1):
                observer.say(f"point {number} of {plan.trials or len(points)}: {' '.join(point)}")
                swept.put(_train(plan, point, metric, runs, data, observer))
                _save(swept, folder.path)
                _lead_to_best(swept, runs)
    return swept


def _lead_to_best(swept: Sweep, runs: Path) -> None:
    """Make the best point so far the latest run, so that `pipeline export` goes on with it."""
    best = swept.ranked()[0]
    if best.run:
        RunFolder(runs / best.run).touch()
        RunFolder(runs / best.run).link()


def _checked(plan: Plan) -> list[Settings]:
    """Return the points of a grid, or the corners of a search, after building the recipe of each."""
    require_distinct(plan.axes)
    points = grid([axis if isinstance(axis, Choices) else _ends(axis) for axis in plan.axes])
    for point in points:
        plan.recipe(point)
    if plan.trials:
        search.require_optuna()
    return points


def _ends(axis: Span) -> Choices:
    return Choices(axis.key, tuple(str(int(end)) if axis.whole else repr(end) for end in (axis.low, axis.high)))


def _proposed(plan: Plan, points: list[Settings], before: Sweep, swept: Sweep) -> Iterator[Settings]:
    """Yield the points to make: of a search first those that were tried before, so that it goes on from them."""
    if not plan.trials:
        yield from points
        return
    yield from (point.settings for point in before.points[: plan.trials])
    while len(swept.points) < plan.trials:
        point = search.propose(plan.axes, {point.settings: point.score for point in swept.points})
        if point is None:
            return
        yield point


def _train(plan: Plan, point: Settings, metric: str, runs: Path, data: "_Data", observer: Observer) -> Point:
    made = plan.recipe(point)
    try:
        folder = run.run(made, runs=runs, data_root=data.root, observer=observer, last="train", data=data.of(made))
        trained = load(TrainResult, folder)
    except failures.InterruptedStageError:
        raise
    except Exception as error:
        words, _ = failures.explain(error)
        observer.say(f"failed: {words}")
        return Point(point, error=words)
    score = trained.history[trained.best_epoch - 1][metric]
    asked, used = flatten(made), flatten(trained.recipe)
    chosen = {key: value for key, value in used.items() if asked.get(key) != value}
    return Point(point, folder.name, score, trained.best_epoch, trained.seconds, chosen)


class _Data:
    """The dataset that was read last: points seldom differ in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._last: tuple[Component, Dataset] | None = None

    def of(self, made: Recipe) -> "Dataset":
        if self._last is None or self._last[0] != made.data:
            self._last = (made.data, run.read_data(made, self.root))
        return self._last[1]


def _metric(made: Recipe, data: "Dataset") -> str:
    """Return the name of the validation metric that points are compared by."""
    if not len(data.validation):
        raise UsageError(
            f"data {data.info.name!r} has no validation split, and points are not chosen by test data; "
            "give it one, for example --set data.validation=5000"
        )
    return f"validation_{discover.call('tasks', made.task, data.info).primary}"


@contextmanager
def _tracked(plan: Plan, swept: Sweep, folder: Path) -> Iterator[None]:
    """Log a sweep: the MLflow run in which points are children, and at its end the table and the best figure."""
    from pipeline import tracking

    params = {"recipe": plan.reference, "set": " ".join(plan.base)} | {f"sweep.{a.key}": _words(a) for a in plan.axes}
    with tracking.sweep_run(f"sweep {folder.name}", params, swept.mlflow_run) as swept.mlflow_run:
        _save(swept, folder)
        yield
        best = swept.ranked()[0]
        figures = {} if best.score is None else {f"best_{swept.metric}": best.score}
        tracking.log_sweep("\n".join(table(swept)), figures)
        if swept.failed():
            raise SweepError(swept)


def _words(axis: Choices | Span) -> str:
    if isinstance(axis, Choices):
        return ", ".join(axis.values)
    return f"{axis.low:g}..{axis.high:g}{':log' if axis.log else ''}"


def _key(plan: Plan) -> str:
    """Return a digest of what is swept; more trials, or another device, go on with the same sweep."""
    base = settings.apply(discover.recipe(plan.reference), plan.base)
    swept = {"base": to_plain(base), "axes": to_plain(plan.axes)}
    return files.sha256(files.render_json(swept))


def _load(folder: Path) -> Sweep:
    try:
        return from_plain(Sweep, json.loads((folder / RECORD).read_bytes()))
    except (OSError, ValueError, UsageError):
        return Sweep()


def _save(swept: Sweep, folder: Path) -> None:
    files.write_json(folder / RECORD, to_plain(swept))


def table(swept: Sweep) -> list[str]:
    """Return lines in columns: the points by validation metric, the best first."""
    keys = [setting.partition("=")[0] for setting in swept.points[0].settings]
    head = (swept.metric.replace("_", " "), *keys, "epoch", "seconds", "run")
    rows = [head, *(_row(point) for point in swept.ranked())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def warnings(swept: Sweep) -> list[str]:
    """Return a line for each value that was chosen otherwise in some points, so that it is compared too."""
    return [
        f"not alike: training chose {key} {' here and '.join(values)} there, so that is compared too; "
        f"choose it for all: --set {key}={values[0]}"
        for key, values in swept.unlike().items()
    ]


def _row(point: Point) -> tuple[str, ...]:
    values = [setting.partition("=")[2] for setting in point.settings]
    if point.score is None:
        return ("failed", *values, "", "", point.error.partition(";")[0])
    return (f"{point.score:.4f}", *values, str(point.epoch), f"{point.seconds:.1f}", point.run)
