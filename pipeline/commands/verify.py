"""The command `verify`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import options

if TYPE_CHECKING:
    from deploy.passport import Passport, Recertification


@click.command(
    epilog=options.example(
        "pipeline verify",
        "pipeline verify --budget 120 --provider cpu --provider cuda",
        "pipeline verify model.onnx --torch mypackage.net:build --weights w.safetensors --inputs x=3,224,224:0..1",
        "pipeline verify a.onnx --against b.onnx --inputs rows.npz --json",
        "pipeline verify model.onnx",
        "pipeline verify bundle/ --provider cuda",
    )
)
@click.argument("reference", metavar="[REF]", required=False)
@options.foreign
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for what is found.")
@click.option("--provider", "providers", type=click.Choice(["cpu", "cuda"]), multiple=True, help="May be repeated.")
@click.option("--budget", type=click.FloatRange(min=0), metavar="SECONDS", help="Time for hunting worst cases.")
@click.option("--json", "as_json", is_flag=True, help="Print the passport as JSON.")
@options.trusted_key
@options.settings
@options.force
@options.runs
@options.data_root
def command(
    reference: str | None,
    torch: str | None,
    weights: Path | None,
    against: Path | None,
    inputs: str | None,
    out: Path | None,
    providers: tuple[str, ...],
    budget: float | None,
    as_json: bool,
    trusted_key: Path | None,
    settings: tuple[str, ...],
    force: bool,
    runs: Path,
    data_root: Path,
) -> None:
    """Prove that an ONNX file answers as the trained network does.

    REF is a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>; by default the latest run. Or
    an ONNX file from elsewhere: with --torch or --against, or else held against itself in float64, which shows what
    ONNX Runtime makes of it, and not where it came from. Or a bundle, which is certified on this machine, without
    torch, by its own samples. Prints the checks, what they do not prove, and the folder with what was found. A failing
    verdict exits with 1.
    """
    from deploy.schema import to_plain
    from pipeline import verifying

    foreign = verifying.Foreign(torch, weights, against, inputs, out)
    chosen = verifying.stage_settings(settings, providers, budget)
    if reference is not None and verifying.is_model(reference):
        passport, folder = verifying.model(Path(reference), foreign, chosen)
        found: list[Passport | Recertification] = [passport]
    elif reference is not None and verifying.is_bundle(reference):
        verifying.reject_foreign(foreign, reference)
        records, folder = verifying.served(reference, runs, providers, trusted_key)
        found = [*records]
    else:
        verifying.reject_foreign(foreign, reference)
        passport, folder = verifying.run(reference, chosen, force=force, runs=runs, data_root=data_root)
        found = [passport]
    for verdict in found if as_json else ():
        click.echo(json.dumps(to_plain(verdict), indent=2, ensure_ascii=False))
    if not as_json:
        click.echo(folder)
    for verdict in found:
        verifying.require(verdict, folder)
