"""Runs side by side: scores with intervals, parity, size and latency, and what differs between their recipes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import files
from deploy.errors import UsageError
from pipeline.answers import Answers, NoAnswersError, Reader, pair
from pipeline.intervals import wilson
from pipeline.references import run_folder
from pipeline.summary import flatten
from stages import report
from stages.report import plots
from stages.report.figure import Figure, Part, Table
from stages.result import ExportResult, PackageResult, TrainResult, VerifyResult

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NONE = "-"
_CURVE = "validation_"


@dataclass(frozen=True)
class Run:
    """One run folder, as far as it is done; `letter` is its name in the tables."""

    letter: str
    folder: Path
    trained: TrainResult
    exported: ExportResult | None
    verified: VerifyResult | None
    packaged: PackageResult | None
    answers: Answers | None
    silence: str = ""

    @property
    def metrics(self) -> dict[str, float]:
        """Figures on the test split: those of the file on disk, once it is verified."""
        return self.trained.metrics | (self.verified.metrics if self.verified else {})


def read(references: Sequence[str], runs: Path, data_root: Path) -> list[Run]:
    """Read the runs behind references; `UsageError` for fewer than 2, more than 26, or one that is there twice."""
    if not 2 <= len(references) <= len(_LETTERS):
        raise UsageError(f"{len(references)} runs: expected 2 to {len(_LETTERS)}; see: pipeline list runs")
    reader = Reader(data_root)
    found = [_read(letter, reference, runs, reader) for letter, reference in zip(_LETTERS, references, strict=False)]
    places = [run.folder.resolve() for run in found]
    for place, folder in enumerate(places):
        if folder in places[:place]:
            raise UsageError(f"{references[place]}: the same run as {references[places.index(folder)]}; give each once")
    return found


def _read(letter: str, reference: str, runs: Path, reader: Reader) -> Run:
    folder = run_folder(reference, runs)
    trained = folder.result("train")
    assert isinstance(trained, TrainResult)
    done: dict[str, Any] = folder.results()
    exported, verified, packaged = (done.get(kind) for kind in ("export", "verify", "package"))
    answers, silence = None, ""
    try:
        answers = reader.read(trained, verified)
    except NoAnswersError as error:
        silence = str(error)
    return Run(letter, folder.path, trained, exported, verified, packaged, answers, silence)


def tables(runs: Sequence[Run]) -> list[Table]:
    """Return what is compared, a column for each run: names, figures, and what differs; then all against the first."""
    letters = tuple(run.letter for run in runs)
    names = tuple((run.letter, run.folder.name, run.trained.recipe.model.name, run.trained.data.name) for run in runs)
    caption = "Intervals hold 95 %: Wilson's for accuracy, a bootstrap over the test rows for other measures."
    return [
        Table("Runs", "What is compared.", ("", "run", "model", "data"), names),
        Table("Figures", caption, ("", *letters), tuple(_figures(runs)), numbers=True),
        _against_first(runs),
        _differences(runs),
    ]


def text(shown: Sequence[Table]) -> Iterator[str]:
    """Yield tables as lines in columns, an empty line between them."""
    for place, table in enumerate(shown):
        rows = [table.head, *table.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(table.head))]
        if place:
            yield ""
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def write_page(runs: Sequence[Run], shown: Sequence[Table], path: Path) -> None:
    """Write the tables and the validation curves as one HTML file without links to anything."""
    parts: list[Part] = [*shown[:3], *_curves(runs), *shown[3:]]
    title = f"{', '.join(run.folder.name for run in runs)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, report.render("compare.html", title=title, shown=parts).encode())


def _figures(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    yield "test rows", *(f"{run.trained.data.sizes.get('test', 0):,}" for run in runs)
    for name in dict.fromkeys(name for run in runs for name in run.metrics):
        yield f"test {name.replace('_', ' ')}", *(_metric(run, name) for run in runs)
    yield "verdict", *(_verdict(run.verified) for run in runs)
    yield "noise ratio", *(_ratio(run.verified) for run in runs)
    yield "decisions changed", *(_flips(run.verified) for run in runs)
    yield "parameters", *(f"{run.trained.parameters:,}" for run in runs)
    yield "weights", *(_size(run.trained.weights) for run in runs)
    yield "model.onnx", *(_size(run.exported.model) if run.exported else _NONE for run in runs)
    yield "bundle", *(_size(run.packaged.bundle) if run.packaged else _NONE for run in runs)
    batches = dict.fromkeys(rows for run in runs if run.packaged for rows in run.packaged.latency_ms)
    for rows in batches:
        yield f"latency of {rows}, CPU", *(_latency(run.packaged, rows) for run in runs)
    yield "epochs, best", *(f"{len(run.trained.history)}, {run.trained.best_epoch}" for run in runs)
    yield "training", *(f"{run.trained.seconds:.1f} s on {run.trained.device}" for run in runs)


def _metric(run: Run, name: str) -> str:
    value = run.metrics.get(name)
    if value is None:
        return _NONE
    if name == "accuracy":
        low, high = wilson(value, run.trained.data.sizes.get("test", 0))
    elif run.answers is not None and name == run.answers.task.primary and not run.answers.related:
        low, high = run.answers.interval(name)
    else:
        return f"{value:.4f}"
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"


def _verdict(verified: VerifyResult | None) -> str:
    return _NONE if verified is None else "passed" if verified else "FAILED"


def _ratio(verified: VerifyResult | None) -> str:
    return (
        _NONE
        if not verified or not verified.ratios
        else f"{max(verified.ratios.values()):.2f} of {verified.passport.limit:g}"
    )


def _flips(verified: VerifyResult | None) -> str:
    return _NONE if verified is None else f"{verified.flips:,} of {verified.rows:,}"


def _latency(packaged: PackageResult | None, rows: str) -> str:
    return f"{packaged.latency_ms[rows]:g} ms" if packaged and rows in packaged.latency_ms else _NONE


def _size(path: Path) -> str:
    total = sum(file.stat().st_size for file in ([path] if path.is_file() else path.glob("*")) if file.is_file())
    return f"{total / 1e6:.2f} MB" if total else _NONE


def _against_first(runs: Sequence[Run]) -> Table:
    first, *others = runs
    caption = (
        f"The same test rows, decided rightly by one of both only; the difference in accuracy to {first.letter} with "
        "its interval, and McNemar's exact p: how likely so uneven a split is when both are right equally often."
    )
    head = ("", f"only {first.letter} right", "only it right", "difference", "95 % interval", "p", "")
    return Table(f"Against {first.letter}", caption, head, tuple(_paired(first, run) for run in others), numbers=True)


def _paired(first: Run, other: Run) -> tuple[str, ...]:
    try:
        found = pair(_spoken(first), _spoken(other))
    except NoAnswersError as error:
        return other.letter, *[_NONE] * 5, str(error)
    low, high = found.interval
    interval = f"{low:+.2%} to {high:+.2%}"
    return (
        other.letter,
        f"{found.first_only:,}",
        f"{found.second_only:,}",
        f"{found.difference:+.2%}",
        interval,
        f"{found.p:.2g}",
        "",
    )


def _spoken(run: Run) -> Answers:
    if run.answers is None:
        raise NoAnswersError(f"{run.letter}: {run.silence}")
    return run.answers


def _differences(runs: Sequence[Run]) -> Table:
    flat = [flatten(run.trained.recipe) | {"data digest": run.trained.data.digest[:12]} for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = ((key, *(one.get(key, _NONE) for one in flat)) for key in keys)
    differing = tuple(row for row in rows if len(set(row[1:])) > 1)
    caption = "Values of the recipes that are not the same in all runs."
    return Table(
        "What differs", caption, ("", *(run.letter for run in runs)), differing or (("nothing", *[""] * len(runs)),)
    )


def _curves(runs: Sequence[Run]) -> Iterator[Figure]:
    names = [name for name in runs[0].trained.history[0] if name.startswith(_CURVE)] if runs[0].trained.history else []
    for name in names[:1]:
        lines = {run.letter: [epoch.get(name) for epoch in run.trained.history] for run in runs}
        yield Figure("Training", f"{name.replace('_', ' ')} by epoch.".capitalize(), plots.side_by_side(lines, name))
