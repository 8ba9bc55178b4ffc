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
    )
)
@click.argument("reference", metavar="REF")
@click.argument("files", metavar="FILE...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text itself, for models of text.")
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

    if not files and not texts:
        raise UsageError("nothing to answer for; give files, or texts with --text")
    bad = 0
    with predictor(reference, provider, runs, trusted_key) as loaded:
        if texts and not loaded.kind.texts:
            raise UsageError(f"--text is for models of text; this one takes {loaded.kind.file or 'tensors'}")
        payloads: list[Path | str] = [*files, *texts]
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
                click.echo(json.dumps({"input": str(payload)} | answer, ensure_ascii=False))
            else:
                click.echo("  ".join((_name(payload), *_values(answer))))
    if bad:
        raise click.exceptions.Exit(1)


def _name(payload: Path | str) -> str:
    """Return a path as it is, and the beginning of a text."""
    if isinstance(payload, Path):
        return str(payload)
    line = " ".join(payload.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _values(answer: dict[str, object]) -> list[str]:
    shown = {key: _word(value) for key, value in answer.items() if not isinstance(value, list | dict)}
    return [f"{key} {word}" for key, word in shown.items() if not word.startswith("data:")]


def _word(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
