"""The command `sweep`."""

from pathlib import Path

import click

from deploy.errors import UsageError
from pipeline import options


@click.command(
    epilog=options.example(
        "pipeline sweep lenet_digits --grid train.lr=0.001,0.003 --grid model=lenet5,lenet_numpy",
        "pipeline sweep lenet_digits --search train.lr=1e-4..0.1:log --search train.epochs=5..30 --trials 20",
    )
)
@click.argument("recipe")
@click.option("--grid", multiple=True, metavar="KEY=A,B,C", help="Try these values, with all those of other --grid.")
@click.option("--search", multiple=True, metavar="KEY=LOW..HIGH[:log]", help="Search this range (needs Optuna).")
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Points of a search.")
@options.settings
@options.device
@options.runs
@options.data_root
def command(
    recipe: str,
    grid: tuple[str, ...],
    search: tuple[str, ...],
    trials: int | None,
    settings: tuple[str, ...],
    device: str | None,
    runs: Path,
    data_root: Path,
) -> None:
    """Train a recipe with many settings, and compare them by validation.

    With --grid every combination is trained; with --search Optuna proposes --trials points, and the values of --grid
    are choices for it. What is finished is kept: the same command goes on where it stopped, and tries again what
    failed. Points are MLflow runs below one of the sweep. Prints the points, the best by validation first, and the
    command that repeats it; the exit code is 1 when a point failed.
    """
    from pipeline.console import Console
    from pipeline.space import Choices, Span, choices, span
    from pipeline.sweep import Plan, SweepError, make, table, warnings

    if not grid and not search:
        raise UsageError("nothing to sweep; give --grid KEY=A,B,C or --search KEY=LOW..HIGH --trials N")
    if bool(search) != (trials is not None):
        raise UsageError("--search and --trials belong together: --search train.lr=1e-4..0.1:log --trials 20")
    axes: list[Choices | Span] = [*map(choices, grid), *map(span, search)]
    plan = Plan(recipe, settings, tuple(axes), trials or 0, device)
    failure = None
    try:
        swept = make(plan, runs=runs, data_root=data_root, observer=Console())
    except SweepError as error:
        swept, failure = error.sweep, error
    for line in table(swept):
        click.echo(line)
    best = swept.ranked()[0]
    if best.score is not None:
        click.echo(f"best: {plan.command(best.settings)}")
    for line in warnings(swept):
        click.echo(line, err=True)
    if failure:
        raise failure
