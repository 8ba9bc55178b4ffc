"""The command `run`."""

from pathlib import Path

import click

from pipeline import options


@click.command(
    epilog=options.example(
        "pipeline run",
        "pipeline run lenet_digits --set train.epochs=3",
        "pipeline run ./my_recipe.py --device cpu",
    )
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
    """Train a recipe, export, verify and package it.

    RECIPE is a name (see: pipeline list recipes) or a Python file (see: pipeline init). What has not changed since the
    last run is kept; a training that was stopped goes on from its last checkpoint.
    """
    from pipeline.walks import walk

    folder = walk(recipe, settings, device, last="package", force=force, runs=runs, data_root=data_root)
    click.echo(folder)
