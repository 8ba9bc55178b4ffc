"""The command `export`."""

from pathlib import Path

import click

from pipeline import options


@click.command(epilog=options.example("pipeline export", "pipeline export --set export.opset=20"))
@click.argument("reference", metavar="[REF]", required=False)
@options.settings
@options.force
@options.runs
@options.data_root
def command(reference: str | None, settings: tuple[str, ...], force: bool, runs: Path, data_root: Path) -> None:
    """Export a trained run to ONNX, preprocessing and decision included.

    REF is a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>; by default the latest run.
    Prints the run folder.
    """
    from pipeline.walks import again

    folder = again(reference, "export", settings, force=force, runs=runs, data_root=data_root)
    click.echo(folder)
