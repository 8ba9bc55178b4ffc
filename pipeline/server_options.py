"""The options of a server (`deploy.server.options`) as those of a command, shown in groups."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any

import click

from deploy.server.arguments import TITLES, value_type
from deploy.server.options import ServerOptions, about, flag


class GroupedCommand(click.Command):
    """A command whose help shows the options of a server below all others, under the headings of their groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all options."""
        rows: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Options", *TITLES.values())}
        for option in (one for one in self.get_params(ctx) if isinstance(one, click.Option)):
            title = TITLES[about(option.name or "").group] if isinstance(option, _ServerOption) else "Options"
            if (row := option.get_help_record(ctx)) is not None:
                rows[title].append(row)
        for title, group in rows.items():
            with formatter.section(title.capitalize()):
                formatter.write_dl(group)


class _ServerOption(click.Option):
    """One of a server's options."""


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add all options of a server; the command gets them as one `ServerOptions`, named `server`."""

    @wraps(command)
    def called(**arguments: Any) -> None:
        chosen = {one.name: arguments.pop(one.name) for one in fields(ServerOptions)}
        command(server=ServerOptions(**chosen), **arguments)

    made: Callable[..., None] = called
    for one in reversed(fields(ServerOptions)):
        made = click.option(_declared(one.name, one.default), cls=_ServerOption, **_keywords(one))(made)
    return made


def _declared(name: str, default: object) -> str:
    return f"{flag(name)}/--no-{flag(name)[2:]}" if isinstance(default, bool) else flag(name)


def _keywords(one: Any) -> dict[str, Any]:
    shown = about(one.name)
    words = shown.words if shown.words.startswith("/") else shown.words[0].upper() + shown.words[1:]
    keywords: dict[str, Any] = {"default": one.default, "help": f"{words}."}
    if not isinstance(one.default, bool):
        keywords["type"] = click.Choice(shown.choices) if shown.choices else value_type(one.type)
        keywords |= {"metavar": shown.metavar, "show_default": one.default is not None}
    return keywords
