"""Entry point of the command `pipeline` and of `python -m pipeline`."""

import contextlib
import os
import sys

from stages.ranks import ranks


def main() -> None:
    """Run the command line; without click say in one line what to install."""
    try:
        import click  # noqa: F401
    except ModuleNotFoundError:
        sys.exit("Error: the command line needs more than the base install; run: pip install 'onnxway[pipeline]'")
    from pipeline.cli import cli

    with contextlib.ExitStack() as stack:
        if not ranks().leads:  # of several processes of one training the first one answers
            silent = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
            stack.enter_context(contextlib.redirect_stdout(silent))
        cli(prog_name="pipeline")


if __name__ == "__main__":
    main()
