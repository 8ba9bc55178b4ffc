"""What a process of a group is told, as one line of JSON: the arguments of `serve_bundles`, and its place."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.schema import from_plain, to_plain
from deploy.server.arguments import value_type
from deploy.server.lifecycle.watch import Source
from deploy.server.options import ServerOptions


@dataclass(frozen=True)
class Spot:
    """Where a bundle lies: at `path`, or (`followed`) at what is written in the file `path`, which changes."""

    path: str
    followed: bool = False
    share: float = 1.0

    def source(self) -> Source:
        """Return it as the lifecycle takes it."""
        return self._read if self.followed else self.path

    def _read(self) -> Path:
        return Path(Path(self.path).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Plan:
    """Which process of how many, and what all of them serve.

    folder      private to the group; sockets and files of `Spot` are there
    settings    fields of `ServerOptions`, with the ports that were taken
    """

    number: int
    count: int
    folder: str
    provider: str
    variant: str
    provider_options: dict[str, str]
    threads: int | None
    unverified: bool
    trusted_key: str | None
    repository: str | None
    watch: float | None
    folders: tuple[Spot, ...]
    canaries: tuple[Spot, ...]
    shadows: tuple[Spot, ...]
    settings: dict[str, Any]

    def write(self) -> str:
        """Return the line."""
        return json.dumps(to_plain(self), separators=(",", ":"))

    @classmethod
    def read(cls, line: str) -> "Plan":
        """Return what `write` wrote."""
        return from_plain(cls, json.loads(line))

    def options(self) -> ServerOptions:
        """Return the options of the server."""
        values = dict(self.settings)
        for one in dataclasses.fields(ServerOptions):
            if value_type(one.type) is Path and values[one.name] is not None:
                values[one.name] = Path(values[one.name])
        return ServerOptions(**values)


def settings(options: ServerOptions) -> dict[str, Any]:
    """Return options as JSON values."""
    plain = dataclasses.asdict(options)
    return {name: str(value) if isinstance(value, Path) else value for name, value in plain.items()}
