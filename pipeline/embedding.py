"""`pipeline embed`: vectors of files by a served bundle, and that bundle from any trained run."""

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy import bundle, files
from deploy.errors import InputError, NotFoundError, UsageError
from pipeline import run
from pipeline.console import Console
from pipeline.references import bundle_folder, run_folder
from stages.result import TrainResult

if TYPE_CHECKING:
    from deploy.outputs.embedding import Embedding
    from deploy.predictor import Predictor

KIND = "embedding"
_CHUNK = 256
Payload = Path | str


def features(reference: str | None, *, unit: bool, force: bool, runs: Path, data_root: Path) -> Path:
    """Make a verified bundle of a trained run's features, as a run of its own; return its folder.

    It does not become the latest run: that stays the one that was worked in.

    Raises `UsageError` for a run that is an embedding already, or whose data is not here as it was.
    """
    from stages.tasks.embed import features as part

    trained = run_folder(reference, runs).result("train")
    assert isinstance(trained, TrainResult)
    if trained.recipe.task.name == "embed":
        raise UsageError(
            f"{trained.folder.parent}: answers vectors already; give files: pipeline embed {trained.folder.parent} "
            "FILE... --out vectors.npz"
        )
    data = run.read_data(trained.recipe, data_root)
    if data.info.digest != trained.data.digest:
        raise UsageError(
            f"the data ({data.info.name}) has digest {data.info.digest[:12]}..., the run was trained with "
            f"{trained.data.digest[:12]}...; point --data-root at the same data"
        )
    recipe = part.recipe_of(trained, data, unit=unit)
    folder, inputs = run.place(recipe, data.info.digest, runs)
    if force or folder.kept("train", inputs) is None:
        with folder.locked(aside=True):
            part.take(trained, recipe, data, folder.begin("train", inputs, force=True))
            folder.seal("train", inputs, ())
    return run.run(recipe, runs=runs, data_root=data_root, observer=Console(), aside=True, data=data)


def served(reference: str, *, unit: bool, force: bool, runs: Path, data_root: Path) -> Path:
    """Return the bundle behind a reference if it answers vectors, else the one of its run's features."""
    try:
        folder = bundle_folder(reference, runs)
        kind = bundle.load(folder).manifest.output.kind
    except NotFoundError:  # trained, and not packaged
        kind = ""
    if kind == KIND:
        return folder
    if kind and (Path(reference) / bundle.MANIFEST).is_file():
        raise UsageError(f"{reference}: a bundle that answers {kind}; its run has the features: pipeline embed RUN")
    return features(reference, unit=unit, force=force, runs=runs, data_root=data_root) / "package" / "bundle"


def payloads(inputs: Sequence[Path], texts: Sequence[str]) -> list[Payload]:
    """Return files, in the place of folders all files in them (sorted, none that is hidden), and texts."""
    found: list[Payload] = []
    for path in inputs:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
        if not inside:
            raise UsageError(f"{path}: no files in that folder")
        found += inside
    return [*found, *texts]


def embed(predictor: "Predictor", given: Sequence[Payload], out: Path, complain: Callable[[str], object]) -> int:
    """Write vectors, names and the model's digest as one .npz file; return how many payloads could not be read.

    Each of those is told to `complain`. Raises `InputError`, and writes nothing, when none could be read.
    """
    if any(isinstance(payload, str) for payload in given) and not predictor.kind.texts:
        raise UsageError(f"--text is for models of text; this one takes {predictor.kind.file or 'tensors'}")
    names, vectors = [], []
    for start in range(0, len(given), _CHUNK):
        for payload, result in _answered(predictor, given[start : start + _CHUNK], complain):
            names.append(str(payload))
            vectors.append(result.vector)
    if not vectors:
        raise InputError(f"none of {len(given)} inputs could be read; {out} was not written")
    buffer = io.BytesIO()
    arrays = {"vectors": np.stack(vectors), "names": np.array(names), "model": np.array(predictor.info.digest)}
    np.savez(buffer, allow_pickle=False, **arrays)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(out, buffer.getvalue())
    Console().say(f"{len(vectors):,} vectors of {len(vectors[0])} numbers: {out}")
    return len(given) - len(vectors)


def _answered(
    predictor: "Predictor", given: Sequence[Payload], complain: Callable[[str], object]
) -> Iterable[tuple[Payload, "Embedding"]]:
    try:
        yield from zip(given, predictor.predict_many(given), strict=True)
    except (InputError, NotFoundError):  # one of them: the others are answered one by one
        for payload in given:
            try:
                yield payload, predictor.predict(payload)
            except (InputError, NotFoundError) as error:
                complain(f"Error: {error}")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
