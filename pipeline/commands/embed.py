"""The command `embed`."""

from pathlib import Path

import click

from deploy.errors import UsageError
from pipeline import options


@click.command(
    epilog=options.example(
        "pipeline embed models:/embedding_digits@champion pictures/ --out vectors.npz",
        "pipeline embed runs/lenet_digits-1a2b3c4d",
        "pipeline embed runs/lenet_digits-1a2b3c4d pictures/*.png --out vectors.npz",
    )
)
@click.argument("reference", metavar="[REF]", required=False)
@click.argument("inputs", metavar="FILE|FOLDER...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text itself, for models of text.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="NPZ", help="File for names and vectors."
)
@click.option("--raw", is_flag=True, help="Features of a run as they are, not brought to length 1.")
@options.provider
@options.trusted_key
@options.force
@options.runs
@options.data_root
def command(
    reference: str | None,
    inputs: tuple[Path, ...],
    texts: tuple[str, ...],
    out: Path | None,
    raw: bool,
    provider: str,
    trusted_key: Path | None,
    force: bool,
    runs: Path,
    data_root: Path,
) -> None:
    """Turn files into vectors, by any trained run.

    REF is a bundle, a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>; by default the latest
    run. An embedding answers by itself. Of any other run, the network without its head becomes a run of its own,
    <recipe>_features: exported, verified and packaged. Without files that is all, and its folder is printed.

    With files (or folders of files, or texts) their vectors are written to --out: `vectors`, `names` and `model`. One
    that cannot be read is said on stderr, and the exit code is 1. `deploy.neighbours.Neighbours.load` searches in them.
    """
    from pipeline import embedding
    from pipeline.serving import predictor

    if not inputs and not texts:
        if out is not None:
            raise UsageError(f"--out {out}: nothing to embed; give files, folders, or texts with --text")
        click.echo(embedding.features(reference, unit=not raw, force=force, runs=runs, data_root=data_root))
        return
    if out is None:
        raise UsageError("--out: say where the vectors go, for example --out vectors.npz")
    given = embedding.payloads(inputs, texts)
    folder = embedding.served(str(reference), unit=not raw, force=force, runs=runs, data_root=data_root)
    with predictor(str(folder), provider, runs, trusted_key) as loaded:
        bad = embedding.embed(loaded, given, out, lambda words: click.echo(words, err=True))
    click.echo(out)
    if bad:
        raise click.exceptions.Exit(1)
