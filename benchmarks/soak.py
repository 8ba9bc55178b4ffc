"""A server under mixed load for ten minutes: memory, threads and descriptors must not grow.

    python benchmarks/soak.py [BUNDLE] [--minutes 10] [--rate 150] [--swap 10]

BUNDLE is one with pictures as input; by default the small one of the tests. A real server gets tensors as bytes and as
JSON, plain and compressed, pictures, calls over gRPC, requests with something wrong in each place, and clients that
leave in the middle; connections are kept and made anew; every few seconds another version of the model is swapped in.
Every 5 seconds its resident memory, threads and descriptors are looked at. At the end come the figures, and exit code
1 if anything was answered other than it should, or if medians of the last quarter of the time are above those of the
first quarter after warm-up (a fifth of the time): memory by more than 4 MiB, threads and descriptors at all.
"""

import argparse
import contextlib
import gzip
import http.client
import io
import itertools
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deploy import bundle
from deploy.bundle import TensorSpec

COLOURS = Path(__file__).parents[1] / "tests/deploy/fixtures/colours"
EVERY_S = 5.0
MORE_MIB = 4.0
SIZE = 24
Pixels = np.ndarray[Any, np.dtype[np.uint8]]
FIGURES = {"RSS MiB": MORE_MIB, "threads": 0.0, "descriptors": 0.0}
"""What is looked at, and by how much its median may grow."""


@dataclass
class Seen:
    """What came of the requests, and samples of the server's process: seconds, then `FIGURES`."""

    answers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[float, ...]] = field(default_factory=list)
    swaps: int = 0


class Clients:
    """Everything that is asked, one request at a time, on a few connections that are now and then made anew."""

    def __init__(self, address: str, grpc_address: str, name: str, picture: TensorSpec, seen: Seen) -> None:
        self._address, self._seen = address, seen
        self._connections = [http.client.HTTPConnection(address, timeout=30) for _ in range(4)]
        shape = [size if isinstance(size, int) else SIZE for size in picture.shape[1:]]
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        self._rpc = _grpc_call(grpc_address, name, picture.name, pixels)
        tensor = {"name": picture.name, "datatype": "UINT8", "shape": [1, *shape]}
        text = json.dumps({"inputs": [tensor | {"data": pixels.reshape(-1).tolist()}]}).encode()
        behind = {"inputs": [tensor | {"parameters": {"binary_data_size": pixels.size}}]}
        head = json.dumps(behind | {"parameters": {"binary_data_output": True}}).encode()
        length = {"Inference-Header-Content-Length": str(len(head))}
        infer, predict, packed = f"/v2/models/{name}/infer", "/predict", {"Content-Encoding": "gzip"}
        rows = json.dumps({"inputs": [tensor | {"shape": [9, *shape], "data": pixels.reshape(-1).tolist() * 9}]})
        asked: list[tuple[int, str, int, str, bytes, Mapping[str, str]]] = [
            (30, "bytes", 200, infer, head + pixels.tobytes(), length),
            (12, "JSON", 200, infer, text, {}),
            (6, "JSON in gzip", 200, infer, gzip.compress(text), packed),
            (3, "9 rows of JSON", 200, infer, rows.encode(), {}),
            (8, "JPEG", 200, predict, _file(pixels, "JPEG"), {"Content-Type": "image/jpeg"}),
            (4, "PNG", 200, predict, _file(pixels, "PNG"), {}),
            (2, "no JSON", 400, infer, text[:-1], {}),
            (2, "wrong shape", 400, infer, text.replace(b"[1, ", b"[2, "), {}),
            (2, "a lie about the bytes", 400, infer, head + pixels.tobytes()[1:], length),
            (2, "no picture", 400, predict, text, {"Content-Type": "image/jpeg"}),
            (2, "no gzip", 400, infer, text, packed),
            (2, "no such model", 404, "/v2/models/nobody/infer", text, {}),
            (1, "too large", 413, infer, gzip.compress(bytes(65 * 2**20), 1), packed),
        ]
        kinds: list[tuple[int, Callable[[], None]]] = [
            (weight, lambda asked=rest: self._post(*asked))
            for weight, *rest in asked  # type: ignore[misc]
        ]
        kinds += [(8, self._rpc_call), (2, lambda: self._get("/metrics")), (2, lambda: self._get("/v2/models/stats"))]
        kinds += [(4, lambda: self._leave(infer, text)), (2, self._connect_anew)]
        generator = np.random.default_rng(1)
        weights = np.array([weight for weight, _ in kinds], float)
        order = generator.choice(len(kinds), 5000, p=weights / weights.sum())
        self.turns = itertools.cycle([kinds[each][1] for each in order])

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()

    def _post(self, kind: str, expected: int, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        connection = self._connections[0]
        self._connections.append(self._connections.pop(0))
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        words = answer.read()
        self._note(kind, answer.status == expected, f"{answer.status} {words[:200]!r}")

    def _get(self, path: str) -> None:
        connection = self._connections[0]
        connection.request("GET", path)
        answer = connection.getresponse()
        self._note(path, answer.status == 200 and len(answer.read()) > 100, str(answer.status))

    def _rpc_call(self) -> None:
        words = self._rpc()
        self._note("gRPC", not words, words)

    def _leave(self, path: str, body: bytes) -> None:
        host, _, port = self._address.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            connection.sendall((head + body)[: -(len(body) // 2) if self._seen.answers["left"] % 2 else None])
        self._note("left", True, "")

    def _connect_anew(self) -> None:
        self._connections.pop(0).close()
        self._connections.append(http.client.HTTPConnection(self._address, timeout=30))
        self._note("connected anew", True, "")

    def _note(self, kind: str, right: bool, words: str) -> None:
        self._seen.answers[kind] += 1
        if not right:
            self._seen.faults[f"{kind}: {words}"] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=COLOURS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=150.0, help="requests/s; less where the server takes longer")
    parser.add_argument("--swap", type=float, default=10.0, help="seconds between two swaps")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server is to end as well
    seen = Seen()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(options.bundle, Path(folder)) as (process, address, rpc, link),
    ):
        info = bundle.load(options.bundle).manifest
        clients = Clients(address, rpc, info.name, info.input.tensors[0], seen)
        drive(clients, process.pid, link, options, seen)
        clients.close()
        process.send_signal(signal.SIGTERM)
        ended = process.wait(60)
    return report(seen, options.minutes * 60, ended)


def drive(clients: Clients, pid: int, link: Path, options: argparse.Namespace, seen: Seen) -> None:
    began = now = time.monotonic()
    asked, swap_at, look_at = 0, began + options.swap, began
    while now - began < options.minutes * 60:
        next(clients.turns)()
        asked += 1
        now = time.monotonic()
        if now >= swap_at:
            swap_at += options.swap
            seen.swaps += 1
            point(link, link.with_name(f"version-{1 + seen.swaps % 2}"))
        if now >= look_at:
            look_at += EVERY_S
            seen.samples.append((now - began, *look(pid)))
            print(
                "{:6.0f} s  RSS {:6.1f} MiB  {:.0f} threads  {:.0f} descriptors".format(*seen.samples[-1]), flush=True
            )
        time.sleep(max(0.0, began + asked / options.rate - now))


def look(pid: int) -> tuple[float, ...]:
    status = Path(f"/proc/{pid}/status").read_text()
    found = {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads")}  # type: ignore[index]
    return found["VmRSS"] / 1024, found["Threads"], len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def report(seen: Seen, seconds: float, exit_code: int) -> int:
    """Print what was seen; returns 1 for faults and for growth."""
    print(f"\n{sum(seen.answers.values())} requests, {seen.swaps} swaps: {dict(seen.answers)}")
    for words, count in seen.faults.items():
        print(f"NOT AS IT SHOULD BE, {count} times: {words}")
    after = np.array([sample for sample in seen.samples if sample[0] >= seconds / 5])
    quarter = max(1, len(after) // 4)
    grown = False
    for column, (name, allowed) in enumerate(FIGURES.items(), 1):
        slope = np.polyfit(after[:, 0], after[:, column], 1)[0] * 3600 if len(after) > 1 else 0.0
        first, last = (statistics.median(part) for part in (after[:quarter, column], after[-quarter:, column]))
        grown |= bool(last - first > allowed)
        most = after[:, column].max()
        print(f"{name}: {slope:+.2f} an hour; median {first:.4g} at first, {last:.4g} at last; at most {most:.4g}")
    if grown:
        print("GROWN")
    print(f"ended with {exit_code} on SIGTERM")
    return int(grown or bool(seen.faults) or exit_code != 0)


@contextlib.contextmanager
def serving(source: Path, folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str, str, Path]]:
    """Serve two versions of a bundle in turn; yields the process, its addresses, and the link that says which one."""
    manifest = bundle.load(source).manifest
    for number in (1, 2):
        version = replace(manifest, provenance={**manifest.provenance, "soak": number})
        with bundle.writing(folder / f"version-{number}", version) as temporary:
            for file in manifest.files:
                shutil.copyfile(source / file, temporary / file)
    link = folder / "latest"
    point(link, folder / "version-1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "deploy", str(link), "--port", "0", "--grpc-port", str(port), "--watch", "1"]
    log = (folder / "log").open("w")
    with log, subprocess.Popen([*command, "--threads", "1"], stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"serving on http://(\S+)", process.stdout.readline())
            if found is None:
                sys.exit((folder / "log").read_text())
            yield process, found[1], f"127.0.0.1:{port}", link
        finally:
            process.kill()


def point(link: Path, target: Path) -> None:
    made = link.with_name(".new")
    made.symlink_to(target)
    made.replace(link)


def _file(pixels: Pixels, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, kind)
    return file.getvalue()


def _grpc_call(address: str, name: str, input_name: str, pixels: Pixels) -> Callable[[], str]:
    """Return a call over gRPC that returns what went wrong."""
    import grpc

    from deploy.server.rpc.schema import SERVICE, message

    sent = message("ModelInferRequest")(model_name=name, raw_input_contents=[pixels.tobytes()])
    sent.inputs.add(name=input_name, datatype="UINT8", shape=[1, *pixels.shape])
    infer = grpc.insecure_channel(address).unary_unary(f"/{SERVICE}/ModelInfer")
    body = sent.SerializeToString()

    def call() -> str:
        try:
            infer(body, timeout=30)
        except grpc.RpcError as error:
            return f"{error.code()} {error.details()}"
        return ""

    return call


if __name__ == "__main__":
    sys.exit(main())
