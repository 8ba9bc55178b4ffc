"""Servers of one ONNX model side by side: ratios from one run, interleaved, with clients that are not Python.

    python benchmarks/serving.py [--servers ours,mosec] [--models lenet] [--kinds binary] [--seconds 2] [--rounds 3]

For each model and kind of body (binary tensor, JSON, JPEG) all servers are started, and every round asks one after the
other at each concurrency (wrk, Debian's package) and measures the ceiling: rows/s of ONNX Runtime in this process, with
the best batch size and session layout and nothing around it (for JPEG, decoding included). What is printed are medians
over rounds, shares of the ceiling of the same round, and the processor time that all processes of a server used for a
request, which others on the machine disturb less. Then, with --open, each server gets 70 % and 200 % of its own
peak from `openload.c`, whose requests do not wait for answers; at 200 % ours are given a deadline of 0.2 s.

Others are installed by pip into environments of their own under --cache, and left out with a word where that fails.
With `--servers ours --models lenet` it takes a minute. On a machine that others use too, look at shares only.
"""

import argparse
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from serving_servers import SERVERS, SHAPES, Body, Running, Server, body, jpeg, running

from deploy import Predictor
from deploy.inputs.image import decode_image
from deploy.providers import open_session, usable_cores

KINDS = ("binary", "json", "jpeg")
OPEN_CONNECTIONS = 256
DEADLINE_US = 200_000


class Load(NamedTuple):
    """What wrk saw."""

    rate: float
    p50_ms: float
    p99_ms: float
    bad: int
    cpu_us: float = 0.0


def wrk(port: int, asked: Body, connections: int, seconds: int, folder: Path) -> Load:
    """Ask again and again over so many connections; `bad` counts answers that are not 2xx, and broken connections."""
    data, script = folder / "body", folder / "wrk.lua"
    data.write_bytes(asked.data)
    headers = "".join(f"wrk.headers['{name}'] = '{value}'\n" for name, value in asked.headers.items())
    script.write_text(f"wrk.method = 'POST'\nwrk.body = io.open('{data}', 'rb'):read('*a')\n{headers}")
    url = f"http://127.0.0.1:{port}{asked.target}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", "-s", script, url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    bad = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", printed)))
    bad += sum(sum(map(int, re.findall(r"\d+", line))) for line in re.findall(r"Socket errors:(.*)", printed))
    return Load(float(_one(r"Requests/sec:\s+([\d.]+)", printed)), _ms("50%", printed), _ms("99%", printed), bad)


def _one(pattern: str, printed: str) -> str:
    found = re.search(pattern, printed)
    if not found:
        raise RuntimeError(f"wrk said: {printed}")
    return found[1]


def _ms(share: str, printed: str) -> float:
    value = _one(rf"{share}\s+([\d.]+[mu]?s)", printed)
    number = float(value.rstrip("mus"))
    return number / 1e3 if value.endswith("us") else number if value.endswith("ms") else number * 1e3


class Ceiling:
    """Rows/s in this process; the best of session layouts and batch sizes is looked for once."""

    def __init__(self, bundle: Path, model: str, kind: str) -> None:
        cores = usable_cores()
        sessions = {(lanes, cores // lanes): open_session(bundle / "model.onnx", threads=cores // lanes).raw
                    for lanes in {1, cores}}  # fmt: skip
        pixels = np.random.default_rng(0).integers(0, 256, SHAPES[model], np.uint8)
        file = jpeg(pixels)

        def once(raw: Any, size: int) -> Callable[[], Any]:
            batch = np.repeat(pixels[None], size, axis=0)
            if kind != "jpeg":
                return lambda: raw.run(None, {"image": batch})
            channels = SHAPES[model][2]
            return lambda: raw.run(None, {"image": np.stack([decode_image(file, channels) for _ in range(size)])})

        choices = [(lanes, size, once(raw, size)) for (lanes, _), raw in sessions.items() for size in (1, 8, 32)]
        self._best = max(choices, key=lambda choice: self._rate(*choice, 0.5))

    def measure(self, seconds: float) -> float:
        """Return rows/s."""
        return self._rate(*self._best, seconds)

    @property
    def words(self) -> str:
        """How it is reached."""
        return f"{self._best[0]} threads, batches of {self._best[1]}"

    @staticmethod
    def _rate(lanes: int, rows: int, call: Callable[[], Any], seconds: float) -> float:
        call()
        began = time.perf_counter()

        def work(_: int) -> int:
            done = 0
            while time.perf_counter() < began + seconds:
                call()
                done += rows
            return done

        with ThreadPoolExecutor(lanes) as pool:
            done = sum(pool.map(work, range(lanes)))
        return done / (time.perf_counter() - began)


def embedded(bundle: Path, model: str) -> None:
    """Print what a Predictor adds to one run of ONNX Runtime, one row, in microseconds."""
    pixels = np.zeros((1, *SHAPES[model]), np.uint8)
    with Predictor.load(bundle, threads=1) as predictor:
        raw = open_session(bundle / "model.onnx", threads=1).raw
        calls = (lambda: raw.run(None, {"image": pixels}), lambda: predictor.infer({"image": pixels}))
        count = 500 if model == "lenet" else 20
        rounds = [[_seconds(call, count) for call in calls] for _ in range(15)]
    base = statistics.median(one[0] for one in rounds)
    extra = statistics.median(one[1] - one[0] for one in rounds)
    print(f"\n{model}: raw session.run {base * 1e6:.0f} us; Predictor {extra * 1e6:+.1f} us ({extra / base:+.1%})")


def _seconds(call: Callable[[], Any], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count


class Case:
    """One model and kind of body, and the servers that answer it."""

    def __init__(self, model: str, kind: str, bundle: Path, options: argparse.Namespace, folder: Path) -> None:
        self.model, self.kind, self.bundle, self.options, self.folder = model, kind, bundle, options, folder
        self.live: dict[str, tuple[Server, Running]] = {}
        self.loads: dict[tuple[str, int], list[tuple[Load, float]]] = {}

    def run(self) -> None:
        """Start, measure, print."""
        with ExitStack() as stack:
            for name in self.options.servers:
                server = SERVERS[name]
                if self.kind not in server.kinds:
                    continue
                place = running(server, self.model, self.kind, self.bundle, self.options.cache)
                try:
                    self.live[name] = server, stack.enter_context(place)
                except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                    print(f"{name}: left out: {error}", flush=True)
            ceiling = Ceiling(self.bundle, self.model, self.kind)
            rates = []
            for _ in range(self.options.rounds):
                rates.append(ceiling.measure(self.options.seconds))
                for connections in self.options.connections:
                    for name in list(self.live):
                        self._load(name, connections, rates[-1])
            print(f"\n{self.model}, {self.kind}: ceiling {statistics.median(rates):,.0f} rows/s ({ceiling.words})")
            self._report()
            if self.options.open:
                self._open()

    def _load(self, name: str, connections: int, ceiling: float) -> None:
        server, process = self.live[name]
        try:
            asked = body(server, self.model, self.kind)
            before = process.cpu_s()
            load = wrk(process.port, asked, connections, self.options.seconds, self.folder)
            used = process.cpu_s() - before
            load = load._replace(cpu_us=used / (load.rate * self.options.seconds) * 1e6)
        except (RuntimeError, subprocess.SubprocessError) as error:
            print(f"{name}: left out: {error}", flush=True)
            del self.live[name]
            return
        self.loads.setdefault((name, connections), []).append((load, load.rate / ceiling))

    def _report(self) -> None:
        print(f"{'':12} {'start s':>8} {'MB':>6}", end="")
        print("".join(f"{f'{c} at once: /s':>19} {'ceiling':>8} {'p50 ms':>8} {'p99 ms':>8} {'cpu us':>7}" for c in
                      self.options.connections))  # fmt: skip
        for name, (_, process) in self.live.items():
            print(f"{name:12} {process.ready_s:8.2f} {process.memory_mb():6.0f}", end="")
            for connections in self.options.connections:
                loads = self.loads[name, connections]
                rate, p50, p99, _, cpu = (
                    statistics.median(column) for column in zip(*(one for one, _ in loads), strict=True)
                )
                share = statistics.median(share for _, share in loads)
                bad = sum(load.bad for load, _ in loads)
                print(
                    f"{rate:19,.0f} {share:8.1%} {p50:8.2f} {p99:8.2f} {cpu:7.0f}{f' ({bad} bad)' if bad else ''}",
                    end="",
                )
            print(flush=True)

    def _open(self) -> None:
        """Print what becomes of 70 % and 200 % of each server's own peak."""
        client = self.folder / "openload"
        source = Path(__file__).with_name("openload.c")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", client, source, "-lm"], check=True)
        for name, (server, process) in self.live.items():
            peak = max(
                statistics.median(load.rate for load, _ in self.loads[name, c]) for c in self.options.connections
            )
            for share in (0.7, 2.0):
                asked = body(server, self.model, self.kind, DEADLINE_US if share > 1 else 0)
                (self.folder / "request").write_bytes(asked.raw())
                words = [process.port, peak * share, self.options.seconds, OPEN_CONNECTIONS, self.folder / "request"]
                done = subprocess.run([client, *map(str, words)], capture_output=True, text=True)
                if done.returncode:
                    print(f"{name:12} at {share:.0%} of its peak: {done.stderr.strip()}")
                    continue
                rate, refused, left, p50, p99, own = map(float, done.stdout.split())
                print(
                    f"{name:12} at {share:.0%} of its peak: {rate:,.0f} answers/s ({rate / peak:.0%}), {refused:.0f} "
                    f"refused, {left:.0f} left, p50 {p50:.2f} ms, p99 {p99:.2f} ms ({own:.2f} from sending)",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=_list(SERVERS), default=list(SERVERS), help=", ".join(SERVERS))
    parser.add_argument("--models", type=_list(SHAPES), default=list(SHAPES), help=", ".join(SHAPES))
    parser.add_argument("--kinds", type=_list(KINDS), default=list(KINDS), help=", ".join(KINDS))
    parser.add_argument("--connections", type=lambda text: [int(one) for one in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--open", action="store_true", help="also ask without waiting, at 70 and 200 %% of the peak")
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache/onnxway-serving", help="environments, models"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; apt-get install wrk")
    models = options.cache / "models"
    missing = [model for model in options.models if not (models / model / "manifest.json").exists()]
    if missing:
        maker = Path(__file__).with_name("serving_models.py")
        subprocess.run([sys.executable, maker, models, *missing], check=True)
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            embedded(models / model, model)
            for kind in options.kinds:
                Case(model, kind, models / model, options, Path(folder)).run()


def _list(choices: Any) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        unknown = [one for one in text.split(",") if one not in choices]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from: {', '.join(choices)}")
        return text.split(",")

    return read


if __name__ == "__main__":
    main()
