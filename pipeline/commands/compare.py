"""The command `compare`."""

from pathlib import Path

import click

from pipeline import options


@click.command(
    epilog=options.example(
        "pipeline compare lenet_digits-1a2b3c4d lenet_digits-5e6f7a8b",
        "pipeline compare models:/lenet_digits@champion models:/lenet_digits@candidate --html compared.html",
    )
)
@click.argument("references", metavar="RUN RUN...", nargs=-1, required=True)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page too.")
@options.runs
@options.data_root
def command(references: tuple[str, ...], html: Path | None, runs: Path, data_root: Path) -> None:
    """Put runs side by side: accuracy, parity, size, latency.

    RUN is a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>. Accuracy comes with its
    interval; runs that were verified on the same test rows are compared row by row with the first, by McNemar's test.
    """
    from pipeline import compare

    found = compare.read(references, runs, data_root)
    shown = compare.tables(found)
    for line in compare.text(shown):
        click.echo(line)
    if html is not None:
        compare.write_page(found, shown, html)
        click.echo(f"\n{html}")
