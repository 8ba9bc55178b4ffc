"""The command `predict`."""

import json
from pathlib import Path

import click

from deploy.errors import InputError, NotFoundError, UsageError
from pipeline import options

_WIDTH = 60


@click.command(
    epilog=options.example(
        "pipeline predict models:/lenet_digits@candidate digit.png",
        "pipeline predict runs/lenet_digits-1a2b3c4d *.png --json",
        "pipeline predict models:/fcn_gunpoint@champion series.csv",
        'pipeline predict models:/textcnn_reviews@champion --text "a moving, funny film" review.txt',
        "pipeline predict models:/unet_nuclei@champion cells.png --out masks",
        'pipeline predict models:/poem_quatrains@champion --text 春夜 --object \'{"form": 7, "seed": 1}\'',
    )
)
@click.argument("reference", metavar="REF")
@click.argument("files", metavar="FILE...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text itself, for models of text.")
@click.option("--object", "objects", multiple=True, metavar="JSON", help="An object, for models that take such ones.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for answers that are files (masks, restored pictures) and for drawings of others.",
)
@options.provider
@options.trusted_key
@options.runs
def command(
    reference: str,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    objects: tuple[str, ...],
    as_json: bool,
    out: Path | None,
    provider: str,
    trusted_key: Path | None,
    runs: Path,
) -> None:
    """Answer for files, or texts, with a verified bundle.

    REF is a bundle, a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>. FILE is what the
    model takes: a picture, a series (.csv, .npy), a volume (.nii, .nii.gz, .npy), a spectral patch (.npy), a text in
    UTF-8. One that cannot be read is said on stderr, the others are answered, and the exit code is 1.
    """
    from pipeline import answer_files
    from pipeline.serving import predictor

    if not (files or texts or objects):
        raise UsageError("nothing to answer for; give files, texts with --text, or objects with --object")
    bad = 0
    with predictor(reference, provider, runs, trusted_key) as loaded:
        if texts and not loaded.kind.texts:
            raise UsageError(f"--text is for models of text; this one takes {loaded.kind.file or 'tensors'}")
        if objects and not loaded.kind.objects:
            raise UsageError(f"--object is for models of objects; this one takes {loaded.kind.file or 'tensors'}")
        payloads: list[Path | str | dict[str, object]] = [*files, *texts, *map(_object, objects)]
        for payload in payloads:
            try:
                result = loaded.predict(payload)
                answer = result.to_dict()
                if out is not None:
                    answer["file"] = str(answer_files.write(result, loaded.answers.media, payload, out))
            except (InputError, NotFoundError) as error:
                click.echo(f"Error: {error}", err=True)
                bad += 1
                continue
            if as_json:
                given = payload if isinstance(payload, dict) else str(payload)
                click.echo(json.dumps({"input": given} | answer, ensure_ascii=False))
            else:
                written = (answer["file"],) if out is not None else ()
                click.echo("  ".join((_name(payload), result.line(), *written)))
    if bad:
        raise click.exceptions.Exit(1)


def _object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--object {text[:40]!r}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise UsageError(f"--object {text[:40]!r}: is {type(value).__name__}, expected an object")
    return value


def _name(payload: Path | str | dict[str, object]) -> str:
    """Return a path as it is, and the beginning of a text or an object."""
    if isinstance(payload, Path):
        return str(payload)
    line = json.dumps(payload, ensure_ascii=False) if isinstance(payload, dict) else " ".join(payload.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
