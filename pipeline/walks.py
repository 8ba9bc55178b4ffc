"""What the stage commands have in common: a recipe or a run, the terminal, the walk."""

from pathlib import Path

from pipeline import run
from pipeline.console import Console
from pipeline.references import LATEST, run_folder
from stages import discover, settings
from stages.recipe import replace


def walk(
    reference: str,
    changes: tuple[str, ...],
    device: str | None,
    *,
    last: str,
    force: bool,
    runs: Path,
    data_root: Path,
) -> Path:
    """Walk a recipe, with changes, up to the stage `last`; return its run folder."""
    recipe = settings.apply(discover.recipe(reference), changes)
    if device:
        recipe = replace(recipe, train={"device": device})
    return run.run(recipe, runs=runs, data_root=data_root, observer=Console(), last=last, force=force)


def again(
    reference: str | None,
    stage: str,
    changes: tuple[str, ...],
    *,
    force: bool,
    runs: Path,
    data_root: Path,
    sign: Path | None = None,
) -> Path:
    """Make one stage of a run; without a reference of the latest one, which is said; return the run folder."""
    observer = Console()
    folder = run_folder(reference, runs)
    if reference in (None, LATEST):
        observer.say(f"latest run: {folder.path}")
    run.redo(folder, stage, changes, data_root=data_root, observer=observer, force=force, sign=sign)
    return folder.path
