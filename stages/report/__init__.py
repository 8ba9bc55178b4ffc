"""The report: one HTML file without links to anything, from whatever results a run folder holds."""

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy import files
from deploy.errors import NotFoundError
from deploy.passport import Passport
from stages import result
from stages.dataset import Dataset
from stages.report import plots, verification
from stages.report.figure import Figure
from stages.result import ExportResult, PackageResult, TrainResult, VerifyResult

if TYPE_CHECKING:
    from jinja2 import Template


def write(run: Path, dataset: Dataset | None = None) -> Path:
    """Write `report.html` into the run folder and return its path.

    Stages that have not been done are left out; with the dataset, the task's own figures (a confusion matrix, the
    pictures that were mistaken) are added. Raises `NotFoundError` when not even training has been done.
    """
    trained = result.load(TrainResult, run)
    exported, verified, packaged = (_done(kind, run) for kind in (ExportResult, VerifyResult, PackageResult))
    figures = [Figure("Training", "Loss and validation figures by epoch.", plots.curves(trained.history))]
    if verified is not None:
        figures += _task_figures(trained, verified.answers, dataset)
    page = _template("run.html").render(
        run=run.name,
        trained=trained,
        exported=exported,
        verified=verified,
        packaged=packaged,
        figures=figures,
        checked=None if verified is None else verification.read(verified.passport, verified.folder, dataset),
        metrics=verified.metrics if verified is not None and verified.metrics else trained.metrics,
    )
    path = run / "report.html"
    files.write_bytes(path, page.encode())
    return path


def write_verdict(title: str, passport: Passport, folder: Path) -> Path:
    """Write `report.html` about a file that was not trained here, from what verify left in the folder."""
    page = _template("verdict.html").render(title=title, checked=verification.read(passport, folder, None))
    path = folder / "report.html"
    files.write_bytes(path, page.encode())
    return path


def _done(kind: Any, run: Path) -> Any:
    try:
        return result.load(kind, run)
    except NotFoundError:
        return None


def _task_figures(trained: TrainResult, answers: Path, dataset: Dataset | None) -> list[Figure]:
    """Ask the task's `figures.py`, if it has one, for pictures of the answers on the test split."""
    module = f"stages.tasks.{trained.recipe.task.name}.figures"
    if dataset is None or not answers.exists() or importlib.util.find_spec(module) is None:
        return []
    with np.load(answers, allow_pickle=False) as archive:
        outputs = dict(archive)
    if not outputs:
        return []
    return list(importlib.import_module(module).figures(outputs, dataset))


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = lambda value: "" if value is None else f"{value:.4g}"
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment.get_template(name)
