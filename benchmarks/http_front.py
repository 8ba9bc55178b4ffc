"""What the HTTP front leaves of what a socket can do: requests/s at 32 keep-alive connections, one core each.

python benchmarks/http_front.py [--seconds 3] [--rounds 3]

Beside the front, with a handler that returns at once (`fast`) and an ASGI application that does (`asgi`), run a bare
protocol on uvloop and httptools that answers constant bytes (the limit), and uvicorn with the same application where it
is installed. All in one run, interleaved, medians over rounds; the client is wrk (Debian's package). Then the resident
memory that 10,000 idle connections add. Read the shares of the limit: of requests/s, and of processor time for each
request, which others on the machine disturb less.
"""

import argparse
import asyncio
import importlib.util
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.server.wire import Wire

ANSWER = b'{"model_name":"m","outputs":[]}'
SIZES = {"3 KB": 3072, "600 KB": 602_112}
IDLE = 10_000
TARGET = "/v2/models/m/infer"
ELSEWHERE = "/elsewhere"
WIRE = Wire(200, [("Content-Type", "application/json"), ("Content-Length", str(len(ANSWER)))], [ANSWER])


async def infer(name: str, version: str | None, headers: Mapping[str, str], body: bytes) -> Wire:
    return WIRE


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def serve_bare(listener: socket.socket) -> None:
    import httptools
    import uvloop

    constant = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)

    class Bare(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.parser = httptools.HttpRequestParser(self)

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_body(self, body: bytes) -> None:
            pass

        def on_message_complete(self) -> None:
            self.transport.write(constant)

    async def run() -> None:
        await asyncio.get_running_loop().create_server(Bare, sock=listener)
        await asyncio.Event().wait()

    uvloop.run(run())


def serve_front(listener: socket.socket, access_log: bool = False) -> None:
    import uvloop

    from deploy.server.http.front import Front

    async def run() -> None:
        await Front(infer, app, access_log=access_log).start(listener)
        await asyncio.Event().wait()

    uvloop.run(run())


def serve_logged(listener: socket.socket) -> None:
    serve_front(listener, access_log=True)


def serve_uvicorn(listener: socket.socket) -> None:
    import uvicorn

    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listener])


SERVERS = {"bare": serve_bare, "front": serve_front, "logged": serve_logged, "uvicorn": serve_uvicorn}
RUNS = {
    "bare uvloop and httptools": ("bare", TARGET),
    "front, inference": ("front", TARGET),
    "front, inference, access log": ("logged", TARGET),
    "front, ASGI application": ("front", ELSEWHERE),
    "uvicorn, ASGI application": ("uvicorn", ELSEWHERE),
}


def start(kind: str) -> tuple[subprocess.Popen[bytes], int]:
    """Run this file as a server on a free port; its log goes nowhere."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    descriptor, port = listener.fileno(), listener.getsockname()[1]
    command = [sys.executable, __file__, "--serve", kind, "--descriptor", str(descriptor)]
    with listener:
        process = subprocess.Popen(command, pass_fds=[descriptor], stderr=subprocess.DEVNULL)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as probe:
                probe.sendall(f"POST {TARGET} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
                if probe.recv(12) == b"HTTP/1.1 200":
                    return process, port
        except OSError:
            time.sleep(0.05)


def load(port: int, target: str, size: int, seconds: float, script: Path) -> float:
    """Return requests/s by wrk; any error ends the benchmark."""
    script.write_text(f'wrk.method = "POST"\nwrk.body = string.rep("x", {size})\n')
    command = ["wrk", "-t1", "-c32", f"-d{seconds:g}s", "-s", str(script), f"http://127.0.0.1:{port}{target}"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    if not found or "Non-2xx" in printed or "Socket errors" in printed:
        raise SystemExit(printed)
    return float(found[1])


def idle_memory(process: subprocess.Popen[bytes], port: int) -> float:
    """Return resident kB that each of many idle connections adds to the server, each after one request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE, hard - 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))

    def resident() -> int:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * resource.getpagesize() // 1024

    before = resident()
    clients = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port), timeout=30)
        client.sendall(f"POST {TARGET} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".encode())
        client.recv(4096)
        clients.append(client)
    added = (resident() - before) / count
    for client in clients:
        client.close()
    return added


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Return the processor time that a server has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(seconds: float, rounds: int) -> None:
    runs = {name: run for name, run in RUNS.items() if run[0] != "uvicorn" or importlib.util.find_spec("uvicorn")}
    servers = {kind: start(kind) for kind in {kind for kind, _ in runs.values()}}
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(rounds):
                for label, size in SIZES.items():
                    for name, (kind, target) in runs.items():
                        process, port = servers[kind]
                        before = cpu_s(process)
                        rate = load(port, target, size, seconds, Path(folder) / "post.lua")
                        found.setdefault((name, label), []).append((rate, (cpu_s(process) - before) / (rate * seconds)))
        report(list(runs), found)
        print(f"{IDLE:,} idle connections: {idle_memory(*servers['front']):.1f} kB each")
    finally:
        for process, _ in servers.values():
            process.kill()
            process.wait()


def report(names: list[str], found: Mapping[tuple[str, str], list[tuple[float, float]]]) -> None:
    """Print medians; shares of the limit, the first of the names."""
    print(" " * 32, *(f"{label} requests/s  processor time" for label in SIZES))
    medians = {
        key: [statistics.median(column) for column in zip(*values, strict=True)] for key, values in found.items()
    }
    for name in names:
        cells = []
        for label in SIZES:
            (rate, used), (limit, least) = medians[name, label], medians[names[0], label]
            cells.append(f"{rate:9,.0f} {rate / limit:4.0%} {used * 1e6:9.1f} us {least / used:4.0%}")
        print(name.ljust(32), *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    parser.add_argument("--descriptor", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        SERVERS[options.serve](socket.socket(fileno=os.dup(options.descriptor)))
    elif shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; apt-get install wrk")
    else:
        measure(options.seconds, options.rounds)


if __name__ == "__main__":
    main()
