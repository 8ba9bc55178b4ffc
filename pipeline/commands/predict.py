"""The command `predict`."""

import json
from pathlib import Path

import click

from deploy.errors import InputError, NotFoundError
from pipeline import options


@click.command(
    epilog=options.example(
        "pipeline predict models:/lenet_digits@candidate digit.png",
        "pipeline predict runs/lenet_digits-1a2b3c4d *.png --json",
    )
)
@click.argument("reference", metavar="REF")
@click.argument("pictures", metavar="PICTURE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@options.provider
@options.trusted_key
@options.runs
def command(
    reference: str, pictures: tuple[Path, ...], as_json: bool, provider: str, trusted_key: Path | None, runs: Path
) -> None:
    """Answer for pictures with a verified bundle.

    REF is a bundle, a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>. A picture that cannot
    be read is said on stderr, the others are answered, and the exit code is 1.
    """
    from pipeline.serving import predictor

    bad = 0
    with predictor(reference, provider, runs, trusted_key) as loaded:
        for picture in pictures:
            try:
                answer = loaded.predict(picture).to_dict()
            except (InputError, NotFoundError) as error:
                click.echo(f"Error: {error}", err=True)
                bad += 1
                continue
            if as_json:
                click.echo(json.dumps({"picture": str(picture)} | answer, ensure_ascii=False))
            else:
                values = [
                    f"{key} {_word(value)}" for key, value in answer.items() if not isinstance(value, list | dict)
                ]
                click.echo("  ".join((str(picture), *values)))
    if bad:
        raise click.exceptions.Exit(1)


def _word(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
