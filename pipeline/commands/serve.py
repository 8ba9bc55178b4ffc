"""The command `serve`."""

from pathlib import Path

import click

from pipeline import options


@click.command(
    epilog=options.example(
        "pipeline serve models:/lenet_digits@champion", "pipeline serve runs/lenet_digits-1a2b3c4d --port 9000"
    )
)
@click.argument("reference", metavar="[REF]", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@options.provider
@options.trusted_key
@options.runs
def command(reference: str | None, host: str, port: int, provider: str, trusted_key: Path | None, runs: Path) -> None:
    """Serve a verified bundle over HTTP (Open Inference Protocol v2).

    REF is a bundle, a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>; by default the latest
    run.
    """
    from pipeline.serving import serve

    serve(reference, provider, runs, trusted_key, host=host, port=port)
