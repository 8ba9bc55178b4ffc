"""Entry point of the command `pipeline` and of `python -m pipeline`."""

import sys


def main() -> None:
    """Run the command line; without click say in one line what to install."""
    try:
        import click  # noqa: F401
    except ModuleNotFoundError:
        sys.exit("Error: the command line needs more than the base install; run: pip install 'onnxway[pipeline]'")
    from pipeline.cli import cli

    cli(prog_name="pipeline")


if __name__ == "__main__":
    main()
