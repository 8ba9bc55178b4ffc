"""The servers that `benchmarks/serving.py` holds against each other: how each is installed, started and asked."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path

import numpy as np

PEERS = Path(__file__).parent / "peers"
SHAPES = {"lenet": (28, 28, 1), "mobilenet_v3_small": (224, 224, 3), "resnet18": (224, 224, 3)}
START_S = 60
COMMON = ("onnxruntime", "numpy", "pillow")


@dataclass(frozen=True)
class Server:
    """One server; `packages` go into an environment of its own, without any it runs in ours.

    protocol    ours: the Open Inference Protocol; plain: the bytes of the tensor, `{"image": ...}`, or a file
    kinds       of bodies that it takes
    """

    name: str
    command: tuple[str, ...]
    packages: tuple[str, ...] = ()
    protocol: str = "plain"
    kinds: tuple[str, ...] = ("binary", "json", "jpeg")
    environment: dict[str, str] = field(default_factory=dict)


OURS = ("-m", "deploy", "{bundle}", "--port", "{port}", "--no-access-log")

SERVERS = {
    server.name: server
    for server in (
        Server("ours", OURS, protocol="ours"),
        Server("ours x 2", (*OURS, "--processes", "2"), protocol="ours"),
        Server("mosec", ("mosec_server.py",), ("mosec",)),
        Server("mosec tuned", ("mosec_server.py",), ("mosec",), environment={"TUNED": "1"}),
        Server("fastapi", ("fastapi_server.py",), ("fastapi", "uvicorn[standard]")),
        Server("litserve", ("litserve_server.py",), ("litserve",), kinds=("json",)),
        Server("mlserver", ("-c", "from mlserver.cli import main; main()", "start", "{settings}"), ("mlserver",),
               "ours", ("json",)),
        Server("bentoml", ("-m", "bentoml", "serve", "bentoml_server:Model", "-p", "{port}"), ("bentoml",), "plain",
               ("json",)),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Body:
    """One request: where, with which headers, what."""

    target: str
    headers: dict[str, str]
    data: bytes

    def raw(self) -> bytes:
        """Return the bytes of the request."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = f"POST {self.target} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(self.data)}\r\n\r\n"
        return head.encode() + self.data


def body(server: Server, model: str, kind: str, timeout_us: int = 0) -> Body:
    """Return one row of noise as a server takes it; `timeout_us` goes into our protocol's parameters."""
    shape = SHAPES[model]
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    if kind == "jpeg":
        return Body(f"/v2/models/{model}/predict" if server.protocol == "ours" else "/inference", {}, jpeg(pixels))
    if server.protocol == "ours":
        return _ours(model, pixels, kind, timeout_us, only_text=bool(server.packages))
    if kind == "binary":
        return Body("/inference", {"Content-Type": "application/octet-stream"}, pixels.tobytes())
    value = [pixels.tolist()] if server.name == "bentoml" else pixels.tolist()
    return Body("/inference", {"Content-Type": "application/json"}, json.dumps({"image": value}).encode())


def jpeg(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    """Return a picture with the colours of a photograph, not of noise: 15 kB at 224 px."""
    from PIL import Image

    smooth = Image.fromarray(pixels[::16, ::16].squeeze()).resize(pixels.shape[1::-1], Image.Resampling.BICUBIC)
    file = BytesIO()
    smooth.save(file, "JPEG", quality=92)
    return file.getvalue()


def _ours(
    model: str, pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", kind: str, timeout_us: int, only_text: bool
) -> Body:
    tensor: dict[str, object] = {"name": "image", "shape": [1, *pixels.shape], "datatype": "UINT8"}
    asked: dict[str, object] = {"inputs": [tensor]}
    if timeout_us:
        asked["parameters"] = {"timeout": timeout_us}
    target = f"/v2/models/{model}/infer"
    if kind == "json":
        tensor["data"] = pixels.reshape(-1).tolist()  # flat, as the official clients send it
        asked |= {} if only_text else {"outputs": [{"name": "probabilities"}]}
        return Body(target, {"Content-Type": "application/json"}, json.dumps(asked).encode())
    tensor["parameters"] = {"binary_data_size": pixels.nbytes}
    asked["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    text = json.dumps(asked, separators=(",", ":")).encode()
    return Body(target, {"Inference-Header-Content-Length": str(len(text))}, text + pixels.tobytes())


def python(server: Server, cache: Path) -> Path:
    """Return the interpreter of a server, with what it needs installed; raises when that cannot be had."""
    if not server.packages:
        return Path(sys.executable)
    folder = cache / server.packages[0]
    interpreter, mark = folder / "bin/python", folder / "installed"
    if not mark.exists():
        venv.create(folder, with_pip=True)
        install = [interpreter, "-m", "pip", "install", "-q", *server.packages, *COMMON]
        subprocess.run(install, check=True, capture_output=True)
        mark.touch()
    return interpreter


class Running:
    """A server that answers; `ready_s` after its process was started."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, ready_s: float) -> None:
        self.process, self.port, self.ready_s = process, port, ready_s

    def memory_mb(self) -> float:
        """Return the resident memory of all its processes, what they share counted for each."""
        pages = sum(int((folder / "statm").read_text().split()[1]) for folder, _ in self._processes())
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_s(self) -> float:
        """Return the processor time that all its processes have used."""
        return sum(int(fields[11]) + int(fields[12]) for _, fields in self._processes()) / os.sysconf("SC_CLK_TCK")

    def _processes(self) -> list[tuple[Path, list[str]]]:
        """Return folder and status of all in the session that it was started in."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid:
                    found.append((folder, fields))
        return found


@contextmanager
def running(server: Server, model: str, kind: str, bundle: Path, cache: Path) -> Iterator[Running]:
    """Run a server in a session of its own, which is ended with all that is in it."""
    interpreter, port = python(server, cache), _free_port()
    height, _, channels = SHAPES[model]
    environment = os.environ | server.environment
    environment |= {"MODEL": str(bundle / "model.onnx"), "SIDE": str(height), "CHANNELS": str(channels)}
    environment |= {"KIND": kind, "PORT": str(port), "PYTHONPATH": str(PEERS if server.packages else PEERS.parents[1])}
    settings = _mlserver(cache, model, port) if server.name == "mlserver" else cache
    words = [word.format(bundle=bundle, port=port, settings=settings) for word in server.command]
    log = (cache / f"{server.name}.log").open("wb")
    process = subprocess.Popen(
        [interpreter, *words], cwd=PEERS, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield Running(process, port, _wait(process, port, body(server, model, kind)))
    finally:
        log.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: "subprocess.Popen[bytes]", port: int, asked: Body) -> float:
    began = time.perf_counter()
    while time.perf_counter() < began + START_S:
        if process.poll() is not None:
            raise RuntimeError("it ended; its log has the cause")
        with suppress(OSError):
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", asked.target, asked.data, asked.headers)
            if connection.getresponse().status == 200:
                return time.perf_counter() - began
        time.sleep(0.01)
    raise RuntimeError(f"it did not answer with 200 within {START_S} s; its log has the cause")


def _mlserver(cache: Path, model: str, port: int) -> Path:
    folder = cache / f"mlserver-{model}"
    folder.mkdir(parents=True, exist_ok=True)
    ports = {"http_port": port, "grpc_port": _free_port(), "metrics_port": _free_port(), "parallel_workers": 1}
    (folder / "settings.json").write_text(json.dumps(ports))
    batching = {"name": model, "implementation": "mlserver_model.Model", "max_batch_size": 32, "max_batch_time": 0.001}
    (folder / "model-settings.json").write_text(json.dumps(batching))
    return folder
