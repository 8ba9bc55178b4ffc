"""The command `promote`."""

from pathlib import Path

import click

from pipeline import options


@click.command(epilog=options.example("pipeline promote lenet_digits"))
@click.argument("name")
@click.option("--from", "source", default="candidate", show_default=True, help="Alias of the version to promote.")
@options.runs
def command(name: str, source: str, runs: Path) -> None:
    """Make a registered model's candidate the champion.

    Its bundle is fetched and checked first: without a passing passport for exactly its files nothing is promoted.
    """
    from pipeline.references import promote

    version = promote(name, source, runs)
    click.echo(f"models:/{name}@champion is now version {version}")
