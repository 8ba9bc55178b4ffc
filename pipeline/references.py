"""What a command is pointed at: a folder, `latest`, `runs:/<id>`, `models:/<name>@<alias>` or `/<version>`.

What lies in MLflow is fetched into the folder of runs, checked against its digests, and used from there.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy import bundle, files
from deploy.errors import BundleError, NotFoundError, UsageError
from deploy.schema import closest
from pipeline.folder import STAGES, RunFolder, all_runs, latest
from pipeline.record import Record
from stages.result import PackageResult

LATEST = "latest"
_NAME = r"[A-Za-z0-9._-]+"
_MODEL = re.compile(rf"models:/(?P<name>{_NAME})(?:@(?P<alias>{_NAME})|/(?P<version>\d+))")


def run_folder(reference: str | None, runs: Path) -> RunFolder:
    """Return the run folder behind a reference; without one (or for the word `latest`), the latest run."""
    if reference in (None, LATEST):
        return RunFolder(latest(runs))
    if reference.startswith("runs:/"):
        return RunFolder(_fetch_run(reference.removeprefix("runs:/"), runs))
    if reference.startswith("models:/"):
        version = model_version(reference)
        run_id = version.tags.get("onnxway.run")
        if not run_id:
            raise NotFoundError(f"{reference}: not registered by this project; only predict and serve can use it")
        return RunFolder(_fetch_run(run_id, runs))
    path = Path(str(reference))
    for candidate in (path, runs / path):
        if candidate.is_dir():
            return RunFolder(candidate)
    names = [folder.name for folder in all_runs(runs)]
    raise NotFoundError(f"{reference}: no such run folder; {closest(reference, names)}")


def bundle_folder(reference: str | None, runs: Path) -> Path:
    """Return the bundle behind a reference: a bundle, the bundle of a run, or of a registered model."""
    if reference is not None and reference.startswith("models:/"):
        return _fetch_bundle(model_version(reference), runs)
    if reference is not None and (Path(reference) / bundle.MANIFEST).is_file():
        return Path(reference)
    packaged = run_folder(reference, runs).result("package")
    assert isinstance(packaged, PackageResult)
    return packaged.bundle


def model_version(reference: str) -> Any:
    """Return MLflow's entry of a registered model; `NotFoundError` with what there is."""
    match = _MODEL.fullmatch(reference)
    if match is None:
        raise UsageError(f"{reference!r}: expected models:/<name>@<alias> or models:/<name>/<version>")
    from pipeline import tracking

    name, alias, number = match["name"], match["alias"], match["version"]
    registered = tracking.models()
    if name not in registered:
        raise NotFoundError(f"{reference}: no registered model {name!r}; {closest(name, registered)}")
    versions = registered[name]
    chosen = [v for v in versions if (alias in v.aliases if alias else str(v.version) == number)]
    if not chosen:
        there = ", ".join(f"{name}/{v.version}" + "".join(f" @{a}" for a in v.aliases) for v in versions)
        raise NotFoundError(f"{reference}: no such version; there are: {there or '(none)'}")
    return chosen[0]


def promote(name: str, source: str, runs: Path) -> str:
    """Point the alias `champion` to the version that has the alias `source`; return that version.

    Its bundle is fetched and loaded with all checks first: without a passing passport nothing is promoted.
    """
    from pipeline import tracking

    version = model_version(f"models:/{name}@{source}")
    bundle.load(_fetch_bundle(version, runs))
    tracking.set_alias(name, tracking.CHAMPION, version.version)
    return str(version.version)


def _fetch_bundle(version: Any, runs: Path) -> Path:
    from pipeline import tracking

    target = runs / "models" / f"{version.name}-{version.version}"
    expected = version.tags.get("onnxway.bundle_sha256")
    if not expected:
        raise NotFoundError(
            f"models:/{version.name}/{version.version}: not registered by this project, no bundle in it"
        )
    if _manifest_digest(target) != expected:
        with files.replaced_folder(target) as temporary:
            _download(f"models:/{version.name}/{version.version}/{tracking.BUNDLE_FILES}", temporary)
            if _manifest_digest(temporary) != expected:
                raise BundleError(
                    f"models:/{version.name}/{version.version}: what is stored is not the bundle that was registered; "
                    "package it again: pipeline package"
                )
    return target


def _manifest_digest(folder: Path) -> str:
    path = folder / bundle.MANIFEST
    return files.sha256_file(path) if path.is_file() else ""


def _fetch_run(run_id: str, runs: Path) -> Path:
    """Return a folder with the stages of an MLflow run, parent or nested; what is not here yet is fetched."""
    from pipeline import tracking

    tags = tracking.run_tags(run_id)
    name = tags.get("onnxway.folder", "")
    wanted = {stage: tags[f"onnxway.run.{stage}"] for stage in STAGES if f"onnxway.run.{stage}" in tags}
    if not wanted or not re.fullmatch(_NAME, name):
        raise NotFoundError(f"runs:/{run_id}: no stage of this project is logged there; see: pipeline list runs")
    target = next(path for path in _candidates(runs, name, run_id) if _fits(path, wanted))
    record = Record.load(target, tracking.store())
    record.parent = record.parent or tags.get("mlflow.parentRunId", run_id)
    for stage, there in wanted.items():
        if stage not in record.stages:
            record.stages[stage] = _fetch_stage(RunFolder(target), stage, there)
            record.save(target)
    RunFolder(target).touch()
    return target


def _candidates(runs: Path, name: str, run_id: str) -> Iterator[Path]:
    """Yield folders to fetch into: the run's own name first, others when that one has gone on to something else."""
    yield runs / name
    for number in itertools.count(1):
        yield runs / f"{name}-{run_id[:8]}{f'-{number}' if number > 1 else ''}"


def _fits(target: Path, wanted: dict[str, str]) -> bool:
    """Tell whether each wanted stage is in a run folder already, logged as this very run, or not there at all."""
    from pipeline import tracking

    logged = {stage: entry["run"] for stage, entry in Record.load(target, tracking.store()).stages.items()}
    return all(logged.get(stage) == run_id or not (target / stage).exists() for stage, run_id in wanted.items())


def _fetch_stage(folder: RunFolder, stage: str, run_id: str) -> dict[str, str]:
    """Fetch a stage into a run folder, the bundle from its model; return its entry for the record."""
    from pipeline import tracking

    model = tracking.run_tags(run_id).get("onnxway.model")
    with files.replaced_folder(folder.stage(stage)) as temporary:
        _download(f"runs:/{run_id}/{stage}", temporary)
        if model:
            (temporary / "bundle").mkdir()
            _download(f"models:/{model}/{tracking.BUNDLE_FILES}", temporary / "bundle")
    if not folder.intact(stage):
        raise NotFoundError(f"runs:/{run_id}: the stored files of {stage!r} are damaged; log them again from elsewhere")
    entry = {"run": run_id, "key": str(folder.inputs(stage).get("key", ""))}
    return entry | {"model": model} if model else entry


def _download(address: str, folder: Path) -> None:
    """Fetch a folder of artefacts; MLflow puts it, under its own name, into the folder that it is given."""
    from pipeline import tracking

    fetched = tracking.download(address, folder)
    aside = fetched.rename(folder / ".fetched")
    for path in sorted(aside.iterdir()):
        path.rename(folder / path.name)
    aside.rmdir()
