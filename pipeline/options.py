"""Options that several commands share, each defined once."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def cache_folder() -> Path:
    """Return the folder for downloaded data by the platform's convention."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "onnxway"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "onnxway"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onnxway"


_FOLDER = click.Path(file_okay=False, path_type=Path)

settings = click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a value of the recipe, for example train.epochs=3; may be repeated.",
)
data_root = click.option(
    "--data-root",
    type=_FOLDER,
    envvar="ONNXWAY_DATA",
    show_envvar=True,
    default=cache_folder,
    show_default="the user's cache folder",
    help="Folder with the data sets, and for downloads.",
)
runs = click.option(
    "--runs",
    type=_FOLDER,
    envvar="ONNXWAY_RUNS",
    show_envvar=True,
    default=Path("runs"),
    show_default="./runs",
    help="Folder with the run folders.",
)
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Train on this device; auto takes CUDA when it works.  [default: the recipe's]",
)
force = click.option("--force", is_flag=True, help="Clear what is there and start over.")
provider = click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Execution provider; an error when it is not really used.",
)
trusted_key = click.option(
    "--trusted-key",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PEM",
    help="Public key; refuse a bundle that its private half did not sign.",
)


def foreign(command: F) -> F:
    """Add the options that say what an ONNX file from elsewhere is judged against, and on what."""
    file = click.Path(dir_okay=False, path_type=Path)
    for option in (
        click.option(
            "--inputs", metavar="SPEC|NPZ", help="Rows for an ONNX file: rows.npz, or NAME=SIZE,SIZE:LOW..HIGH."
        ),
        click.option("--against", type=file, help="Judge an ONNX file against another."),
        click.option("--weights", type=file, help="Weights for --torch."),
        click.option(
            "--torch", metavar="MODULE:NAME", help="Judge an ONNX file against this module (or a builder of it)."
        ),
    ):
        command = option(command)
    return command


def example(*lines: str) -> str:
    """Return the end of a help text: commands that can be copied."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
