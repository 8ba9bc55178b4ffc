"""The command `init`."""

from pathlib import Path

import click

from pipeline import options


@click.command(epilog=options.example("pipeline init flowers/", "pipeline init flowers/ --out flowers_recipe.py"))
@click.argument("folder", metavar="FOLDER_OF_IMAGES", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("my_recipe.py"),
    show_default=True,
    help="File to write; never overwritten.",
)
def command(folder: Path, out: Path) -> None:
    """Write a recipe of your own for a folder of images.

    The folder holds one sub-folder of pictures for each class. Train on it with: pipeline run ./my_recipe.py
    """
    from pipeline.starter import write_recipe

    found = write_recipe(folder, out)
    where = out if out.is_absolute() else f"./{out}"
    click.echo(f"{out}: {len(found)} classes, {sum(found.values())} pictures; now: pipeline run {where}")
