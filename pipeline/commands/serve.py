"""The command `serve`."""

from pathlib import Path

import click

from deploy.server.options import ServerOptions
from pipeline import options
from pipeline.server_options import GroupedCommand, server_options


@click.command(
    cls=GroupedCommand,
    epilog=options.example(
        "pipeline serve models:/lenet_digits@champion --watch 10",
        "pipeline serve models:/lenet_digits@champion --canary models:/lenet_digits@candidate=0.1",
        "pipeline serve runs/lenet_digits-1a2b3c4d --port 9000",
    ),
)
@click.argument("reference", metavar="[REF]", required=False)
@click.option(
    "--watch",
    type=click.FloatRange(min=0.05),
    metavar="SECONDS",
    help="Look so often whether REF leads elsewhere (an alias that is moved), and swap it in.",
)
@click.option("--canary", multiple=True, metavar="REF=WEIGHT", help="Version that gets a share of requests, 0 to 1.")
@click.option("--shadow", multiple=True, metavar="REF=SHARE", help="Version that gets copies; nobody its answers.")
@options.provider
@options.trusted_key
@options.runs
@server_options
def command(
    reference: str | None,
    watch: float | None,
    canary: tuple[str, ...],
    shadow: tuple[str, ...],
    provider: str,
    trusted_key: Path | None,
    runs: Path,
    server: ServerOptions,
) -> None:
    """Serve a verified bundle over HTTP (Open Inference Protocol v2).

    REF is a bundle, a run folder, runs:/<id>, models:/<name>@<alias> or models:/<name>/<version>; by default the latest
    run.
    """
    from deploy.server.lifecycle.routing import read_share
    from pipeline.serving import serve

    serve(
        reference,
        provider,
        runs,
        trusted_key,
        server,
        watch=watch,
        canaries=[read_share(text, "--canary") for text in canary],
        shadows=[read_share(text, "--shadow") for text in shadow],
    )
