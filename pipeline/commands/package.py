"""The command `package`."""

from pathlib import Path

import click

from deploy.errors import UsageError
from pipeline import options


@click.command(
    epilog=options.example(
        "pipeline package",
        "pipeline package --set package.version=2",
        "pipeline package --sign private.pem",
        "pipeline package --onnx model.onnx --inputs rows.npz",
        "pipeline package --onnx model.onnx --torch mypackage.net:build --weights w.safetensors --name mynet",
    )
)
@click.argument("reference", metavar="[REF]", required=False)
@click.option("--onnx", type=click.Path(dir_okay=False, path_type=Path), help="Package an ONNX file from elsewhere.")
@options.foreign
@click.option("--name", metavar="NAME", help="Name of an ONNX file's bundle.  [default: the file's]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for bundle/ and verify/.")
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
    onnx: Path | None,
    torch: str | None,
    weights: Path | None,
    against: Path | None,
    inputs: str | None,
    name: str | None,
    out: Path | None,
    sign: Path | None,
    settings: tuple[str, ...],
    force: bool,
    runs: Path,
    data_root: Path,
) -> None:
    """Write the bundle of a verified run and register it as candidate.

    REF is a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>; by default the latest run.
    Prints the run folder.

    With --onnx, verify an ONNX file from elsewhere as `pipeline verify` does, and write its bundle when it passes.
    Prints the bundle's folder.
    """
    from pipeline import packaging
    from pipeline.verifying import Foreign
    from pipeline.walks import again

    foreign = Foreign(torch, weights, against, inputs, out)
    if onnx is None:
        packaging.reject_foreign(foreign, name, reference)
        click.echo(again(reference, "package", settings, force=force, runs=runs, data_root=data_root, sign=sign))
    elif reference is not None:
        raise UsageError(f"{reference}: give a run or --onnx, not both")
    else:
        click.echo(packaging.file(onnx, foreign, settings, name=name, force=force, sign=sign))
