"""How the processes of a group hear of each other: each answers on a Unix socket in the group's private folder.

What changes the server (load, unload, the log's level) is done by the process that was asked, and then told to the
others; `/metrics` is what all of them say, with the label `process`.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import OnnxwayError
from deploy.server.http.answer import refusal
from deploy.server.http.front import Front
from deploy.server.wire import Wire

Announce = Callable[[Sequence[str]], None]
"""Is told where the server answers, in lines for a person, once it does."""

_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (.*)")


@dataclass(frozen=True)
class Member:
    """What makes a server one process of a group."""

    peers: "Peers"
    announce: Announce


class Peers:
    """The other processes of a group."""

    def __init__(self, folder: Path, number: int, count: int) -> None:
        self._folder, self._number, self._count = folder, number, count

    @property
    def own(self) -> Path:
        """Return where this process answers the others."""
        return self._path(self._number)

    async def tell(self, method: str, target: str, body: bytes) -> None:
        """Have the others do what this process has done; `OnnxwayError` when one of them could not."""
        for number, (status, answer) in (await self._ask_all(method, target, body)).items():
            if status >= 400:
                words = answer.decode(errors="replace")
                raise OnnxwayError(f"{target} was done here, but process {number} answered {status} {words[:300]}")

    async def metrics(self, own: str) -> str:
        """Return the pages of all processes as one."""
        pages = {self._number: own}
        for number, (status, page) in (await self._ask_all("GET", "/metrics", b"")).items():
            if status == 200:
                pages[number] = page.decode()
        return merged(dict(sorted(pages.items())))

    async def _ask_all(self, method: str, target: str, body: bytes) -> dict[int, tuple[int, bytes]]:
        """Return status and body of each of the others that is there: one that is just being started has no part."""
        others = [number for number in range(self._count) if number != self._number]
        answers = await asyncio.gather(*(self._ask(self._path(number), method, target, body) for number in others))
        return {number: answer for number, answer in zip(others, answers, strict=True) if answer is not None}

    @staticmethod
    async def _ask(path: Path, method: str, target: str, body: bytes) -> tuple[int, bytes] | None:
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError:
            return None
        with closing(writer):
            writer.write(f"{method} {target} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)
            answer = await reader.read()
        head, _, rest = answer.partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1] if head else b"503"  # it ended before it answered
        return int(status), rest

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.sock"


def merged(pages: Mapping[int, str]) -> str:
    """Return pages of metrics as one: each sample with the label `process`, those of a name together."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for number, page in pages.items():
        name = ""
        for line in page.splitlines():
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                heads.setdefault(name, [])
            if line.startswith("#"):
                if line not in heads[name]:
                    heads[name].append(line)
            elif found := _SAMPLE.fullmatch(line):
                labels = f'process="{number}"' + (f",{found[2]}" if found[2] else "")
                samples.setdefault(name, []).append(f"{found[1]}{{{labels}}} {found[3]}")
    return "\n".join([line for name, head in heads.items() for line in (*head, *samples.get(name, ()))] + [""])


class PeerServer:
    """Answers the other processes; a companion of the HTTP front.

    app    an ASGI application that does what it is asked, and tells nobody
    """

    def __init__(self, app: Any, path: Path) -> None:
        self._front = Front(_no_inference, app)
        self._path = path

    async def start(self) -> None:
        """Begin to answer."""
        self._path.unlink(missing_ok=True)  # of the process that this one replaces
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        listener.listen()
        await self._front.start(listener)

    async def stop(self, grace: float) -> None:
        """Answer what has come within `grace` seconds, and end."""
        await self._front.drain(grace)
        await self._front.close()


async def _no_inference(*_: Any) -> Wire:
    return refusal(404, "inference is on the public port")
