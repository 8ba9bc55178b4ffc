"""The command `doctor`."""

from pathlib import Path

import click

from pipeline import options


@click.command(epilog=options.example("pipeline doctor", "pipeline doctor --json"))
@click.option("--json", "as_json", is_flag=True, help="The findings as one JSON array.")
@options.runs
@options.data_root
def command(as_json: bool, runs: Path, data_root: Path) -> None:
    """Say what this machine can do, and what to do about what it cannot.

    The exit code is 1 when something fails; no GPU is a warning.
    """
    from pipeline.doctor import examine, render

    findings = examine(runs, data_root)
    click.echo(render(findings, as_json=as_json))
    if any(finding.state == "fail" for finding in findings):
        raise click.exceptions.Exit(1)
