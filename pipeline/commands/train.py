"""The command `train`."""

from pathlib import Path

import click

from pipeline import options


@click.command(
    epilog=options.example("pipeline train lenet_digits", "pipeline train lenet_digits --set train.lr=0.001")
)
@click.argument("recipe", default="lenet_digits")
@options.settings
@options.device
@options.force
@options.runs
@options.data_root
def command(
    recipe: str, settings: tuple[str, ...], device: str | None, force: bool, runs: Path, data_root: Path
) -> None:
    """Train a recipe: the first stage alone.

    A training that was stopped goes on from its last checkpoint, a finished one is kept. Prints the run folder.
    """
    from pipeline.walks import walk

    folder = walk(recipe, settings, device, last="train", force=force, runs=runs, data_root=data_root)
    click.echo(folder)
