"""The command `list`."""

from pathlib import Path

import click

from pipeline import options

KINDS = ("recipes", "models", "data", "inputs", "tasks", "runs", "registered")


@click.command(epilog=options.example("pipeline list", "pipeline list runs"))
@click.argument("kind", type=click.Choice(KINDS), default="recipes")
@options.runs
def command(kind: str, runs: Path) -> None:
    """List recipes, models, data, inputs, tasks, runs or registered models.

    models are the networks that a recipe can use; registered are the versions in MLflow's registry.
    """
    from pipeline.lists import lines

    for line in lines(kind, runs):
        click.echo(line)
