"""The options of a server as arguments of `argparse`, in groups."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from deploy.server.options import ServerOptions, about, flag

TITLES = {
    "addresses": "addresses",
    "limits": "limits of what one client may cost",
    "security": "who may do what",
    "records": "what the server tells",
}
"""Groups of options, in the order in which help shows them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each option."""
    groups = {name: parser.add_argument_group(title) for name, title in TITLES.items()}
    for one in fields(ServerOptions):
        shown = about(one.name)
        keywords: dict[str, Any] = {"default": one.default, "help": shown.words}
        if isinstance(one.default, bool):
            keywords["action"] = argparse.BooleanOptionalAction
        else:
            keywords |= {"metavar": shown.metavar, "choices": shown.choices or None, "type": value_type(one.type)}
        if one.default is not None and not isinstance(one.default, bool):
            keywords["help"] += " (default: %(default)s)"
        groups[shown.group].add_argument(flag(one.name), **keywords)


def from_arguments(arguments: argparse.Namespace) -> ServerOptions:
    """Return the options that were given; `UsageError` where they contradict each other."""
    return ServerOptions(**{one.name: getattr(arguments, one.name) for one in fields(ServerOptions)})


def value_type(annotation: Any) -> type:
    """Return what makes a value of a text: int, Path or str."""
    kinds = get_args(annotation) or (annotation,)
    return next((kind for kind in (int, Path) if kind in kinds), str)
