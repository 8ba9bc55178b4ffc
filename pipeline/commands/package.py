"""The command `package`."""

from pathlib import Path

import click

from pipeline import options


@click.command(
    epilog=options.example(
        "pipeline package", "pipeline package --set package.version=2", "pipeline package --sign private.pem"
    )
)
@click.argument("reference", metavar="[REF]", required=False)
@click.option(
    "--sign",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PEM",
    help="Sign the bundle with this private key (Ed25519 or P-256).",
)
@options.settings
@options.force
@options.runs
@options.data_root
def command(
    reference: str | None,
    sign: Path | None,
    settings: tuple[str, ...],
    force: bool,
    runs: Path,
    data_root: Path,
) -> None:
    """Write the bundle of a verified run and register it as candidate.

    REF is a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>; by default the latest run.
    Prints the run folder.
    """
    from pipeline.walks import again

    folder = again(reference, "package", settings, force=force, runs=runs, data_root=data_root, sign=sign)
    click.echo(folder)
