"""The report: one HTML file without links to anything, from whatever results a run folder holds."""

import importlib
import importlib.util
from collections.abc import Iterator
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
from stages.report.answers import Answers
from stages.report.figure import Figure, Part
from stages.report.samples import Draw, drawer
from stages.result import ExportResult, PackageResult, TrainResult, VerifyResult

if TYPE_CHECKING:
    from jinja2 import Template

    from stages.graph import Graph


def write(run: Path, dataset: Dataset | None = None) -> Path:
    """Write `report.html` into the run folder and return its path.

    Stages that have not been done are left out; with the dataset, samples are shown (what augmentation makes of them),
    and the task's own figures (for classification a confusion matrix, the surest mistakes). Raises `NotFoundError` when
    not even training has been done.
    """
    from stages.graph import build

    trained = result.load(TrainResult, run)
    exported, verified, packaged = (_done(kind, run) for kind in (ExportResult, VerifyResult, PackageResult))
    graph = build(trained.recipe, trained.data, training=False)
    draw = drawer(graph.input.kind)
    shown: list[Part] = [Figure("Training", "Loss and validation figures by epoch.", plots.curves(trained.history))]
    if verified is not None:
        shown += _task_figures(trained, verified.answers, dataset, draw)
    shown += _network_figures(graph, trained, dataset, draw)
    samples = None if dataset is None else verification.Samples(dataset, draw)
    page = render(
        "run.html",
        run=run.name,
        trained=trained,
        exported=exported,
        verified=verified,
        packaged=packaged,
        shown=shown,
        checked=None if verified is None else verification.read(verified.passport, verified.folder, samples),
        metrics=verified.metrics if verified is not None and verified.metrics else trained.metrics,
    )
    path = run / "report.html"
    files.write_bytes(path, page.encode())
    return path


def write_verdict(title: str, passport: Passport, folder: Path) -> Path:
    """Write `report.html` about a file that was not trained here, from what verify left in the folder."""
    page = render("verdict.html", title=title, checked=verification.read(passport, folder))
    path = folder / "report.html"
    files.write_bytes(path, page.encode())
    return path


def render(name: str, **values: Any) -> str:
    """Return a page of this folder with its values."""
    return _template(name).render(**values)


def _done(kind: Any, run: Path) -> Any:
    try:
        return result.load(kind, run)
    except NotFoundError:
        return None


def _task_figures(trained: TrainResult, answers: Path, dataset: Dataset | None, draw: Draw) -> list[Part]:
    """Ask the task's `figures.py`, if it has one, for what it makes of the answers on the test split."""
    module = f"stages.tasks.{trained.recipe.task.name}.figures"
    if dataset is None or not answers.exists() or importlib.util.find_spec(module) is None:
        return []
    with np.load(answers, allow_pickle=False) as archive:
        outputs = dict(archive)
    if not outputs:
        return []
    return list(importlib.import_module(module).figures(Answers(outputs, dataset, trained.metrics, draw)))


def _network_figures(graph: "Graph", trained: TrainResult, dataset: Dataset | None, draw: Draw) -> Iterator[Part]:
    """Yield the first layer's filters, and what augmentation makes of training samples."""
    from safetensors.numpy import load_file

    from stages.report.filters import first_filters
    from stages.report.views import augmented

    parts: list[Part | None] = [first_filters(graph, load_file(trained.weights))]
    if dataset is not None:
        parts.append(augmented(graph.task, dataset.train, trained.data, draw))
    yield from (part for part in parts if part is not None)


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = lambda value: "" if value is None else f"{value:.4g}"
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment.get_template(name)
