"""Clients that lie about tensors, send bombs, leave, or ask what the model fails on: a whole server, on real sockets.

Faults of HTTP itself are in http/test_http_faults.py, files that go and versions that are swapped under load in
lifecycle/, the end under load in test_serve.py and lifecycle/test_lifecycle_process.py.
"""

import contextlib
import gzip
import io
import json
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")

from deploy import Predictor
from deploy.server.options import ServerOptions
from tests.deploy.server.http.kit import Answer, Client, request
from tests.deploy.server.lifecycle.kit import rss_mib, until
from tests.deploy.server.lookup import OUT_OF_RANGE, PLACES, make_lookup
from tests.deploy.server.ops.kit import Running, running, warm
from tests.deploy.server.test_serve import server

COLOURS = "/v2/models/colours/infer"
LOOKUP = "/v2/models/lookup/infer"
IMAGE = {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 3]}
BLUE = bytes((0, 0, 255)) * 4
LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def site(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two models behind batchers, over HTTP and gRPC."""
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    dataplane = warm(colours)
    dataplane.add(Predictor.load(make_lookup(tmp_path_factory.mktemp("lookup") / "bundle"), threads=1))
    with running(ServerOptions(grpc_port=0, access_log=False), dataplane) as found:
        yield found


@pytest.fixture
def client(site: Running) -> Iterator[Client]:
    made = connect(site)
    yield made
    made.close()


def connect(site: Running) -> Client:
    return Client(int(site.url.rpartition(":")[2]))


def asked(client: Client, path: str, body: bytes, headers: Mapping[str, object] | None = None) -> Answer:
    client.post(path, body, *(f"{name}: {value}" for name, value in (headers or {}).items()))
    return client.answer()


def refused(client: Client, status: int, path: str, body: bytes, headers: Mapping[str, object] | None = None) -> str:
    """Ask what must be refused, and then what is right on the same connection; returns the words of the refusal."""
    answer = asked(client, path, body, headers)
    assert answer.status == status, answer
    said = json.loads(answer.body)
    assert set(said) == {"error"}
    assert "Traceback" not in said["error"]
    assert "\n" not in said["error"]
    good = asked(client, COLOURS, *behind_json())
    assert (good.status, json.loads(good.body)["outputs"][0]["data"]) == (200, [2])
    return str(said["error"])


def behind_json(body: bytes = BLUE, **tensor: Any) -> tuple[bytes, dict[str, object]]:
    """Return JSON with a tensor's bytes behind it, and the header; `tensor` changes what the JSON says of it."""
    entry = IMAGE | {"parameters": {"binary_data_size": len(body)}} | tensor
    text = json.dumps({"inputs": [entry], "outputs": [{"name": "class_index"}]}).encode()
    return text + body, {LENGTH: len(text)}


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (10**6, "expected bytes of JSON, from 0 to"),
        (2**64, "expected bytes of JSON, from 0 to"),
        ("9" * 5000, "expected bytes of JSON, from 0 to"),
        (-1, "expected bytes of JSON, from 0 to"),
        ("1e3", "expected bytes of JSON, from 0 to"),
        ("٣", "expected bytes of JSON, from 0 to"),
        ("", "expected bytes of JSON, from 0 to"),
        (5, "the body is not JSON"),
        (0, "height and width are not known from"),
    ],
)
def test_lies_about_the_json(client: Client, stated: object, words: str) -> None:
    body, _ = behind_json()
    stated = stated.encode().decode("latin-1") if isinstance(stated, str) else stated
    assert words in refused(client, 400, COLOURS, body, {LENGTH: stated})


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (13, "binary_data_size is 13, and 12 bytes are left"),
        (11, "1 bytes follow the last tensor"),
        (2**64 - 1, "binary_data_size is 18446744073709551615, and 12 bytes are left"),
        (2**64 + 12, "binary_data_size is 1.8446744073709552e+19, expected a whole number from 0 up"),
        (-12, "binary_data_size is -12, expected a whole number from 0 up"),
        (12.0, "binary_data_size is 12.0, expected a whole number from 0 up"),
        (True, "binary_data_size is True, expected a whole number from 0 up"),
        ("12", "binary_data_size is 12, expected a whole number from 0 up"),
    ],
)
def test_lies_about_bytes(client: Client, size: object, words: str) -> None:
    assert words in refused(client, 400, COLOURS, *behind_json(parameters={"binary_data_size": size}))


SHAPES: list[Any] = [
    [2**64, 2, 2, 3],
    [2**63, 2, 2, 3],
    [2**32, 2**32, 1, 3],  # 0 where 64 bits overflow
    [2**62, 4, 1, 3],
    [2**64 + 1, 2, 2, 3],  # 1 where they do
    [-1, 2, 2, 3],
    [-1, -2, -2, -3],
    [0, 2, 2, 3],
    [1e30, 2, 2, 3],
    [1, 2, 2, 3, 1],
    [[1, 2, 2, 3]],
    "1223",
    None,
]


def is_in_64_bits(shape: Any) -> bool:
    return isinstance(shape, list) and all(isinstance(size, int) and abs(size) < 2**63 for size in shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_beyond_all_bounds(client: Client, shape: Any) -> None:
    words = refused(client, 400, COLOURS, *behind_json(shape=shape))
    assert words.startswith("input 'image': ")
    in_json = {"inputs": [IMAGE | {"shape": shape, "data": list(BLUE)}]}
    assert refused(client, 400, COLOURS, json.dumps(in_json).encode()).startswith("input 'image': ")


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if is_in_64_bits(shape)], ids=str)
def test_shapes_beyond_all_bounds_over_grpc(site: Running, shape: list[Any]) -> None:
    grpc = pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    from deploy.server.rpc.schema import SERVICE, message

    sent = message("ModelInferRequest")(model_name="colours", raw_input_contents=[BLUE])
    sent.inputs.add(name="image", datatype="UINT8", shape=shape)
    with grpc.insecure_channel(site.grpc) as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            infer(sent.SerializeToString(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert caught.value.details().startswith("input 'image': ")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([float("nan")] * 12, "data holds float, expected int only"),
        ([float("inf")] * 12, "data holds float, expected int only"),
        ([True] * 12, "data holds bool, expected int only"),
        (["0"] * 12, "data holds str, expected int only"),
        ([0.5] * 12, "data holds float, expected int only"),
        ([256] * 12, "values run from 256 to 256, expected 0 to 255"),
        ([2**64] * 12, ""),
    ],
)
def test_numbers_that_are_no_pixels(client: Client, data: list[Any], words: str) -> None:
    body = json.dumps({"inputs": [IMAGE | {"data": data}]}).encode()
    assert words in refused(client, 400, COLOURS, body)


@pytest.mark.parametrize("datatype", ["FP32", "INT8", "BYTES", "uint8", "", None, 1, ["UINT8"]], ids=repr)
def test_wrong_dtypes(client: Client, datatype: Any) -> None:
    words = refused(client, 400, COLOURS, *behind_json(datatype=datatype))
    assert "expected 'UINT8'" in words


def lookup(index: list[int], factor: list[float]) -> bytes:
    """Return a request to the model that looks into a table; what it answers is 10 * index * factor."""
    number = {"name": "index", "datatype": "INT64", "shape": [len(index)], "data": index}
    real = {"name": "factor", "datatype": "FP32", "shape": [len(factor)], "data": factor}
    return json.dumps({"inputs": [number, real]}).encode()


def products(answer: Answer) -> list[float]:
    assert answer.status == 200, answer
    (output,) = json.loads(answer.body)["outputs"]
    return list(output["data"])


def test_nan_stays_in_its_row(client: Client) -> None:
    found = products(asked(client, LOOKUP, lookup([1, 2, 3], [1.0, float("nan"), float("inf")])))
    assert found[0] == 10
    assert np.isnan(found[1])
    assert np.isinf(found[2])


def test_what_onnx_runtime_fails_on_is_500_in_a_line(site: Running, client: Client) -> None:
    words = refused(client, 500, LOOKUP, lookup([OUT_OF_RANGE], [1.0]))
    assert words.startswith("ONNX Runtime cannot run the model on these tensors: ")
    assert products(asked(client, LOOKUP, lookup([3], [1.0]))) == [30]
    grpc = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
    tensors = [grpc.InferInput("index", [1], "INT64"), grpc.InferInput("factor", [1], "FP32")]
    tensors[0].set_data_from_numpy(np.array([OUT_OF_RANGE]))
    tensors[1].set_data_from_numpy(np.ones(1, np.float32))
    with grpc.InferenceServerClient(site.grpc) as other:
        with pytest.raises(grpc.InferenceServerException, match="ONNX Runtime cannot run the model") as caught:
            other.infer("lookup", tensors)
        assert caught.value.status() == "StatusCode.INTERNAL"
        tensors[0].set_data_from_numpy(np.array([4]))
        assert other.infer("lookup", tensors).as_numpy("product").tolist() == [40]


def test_one_bad_item_in_a_batch_fails_alone(site: Running) -> None:
    """40 clients ask at once, again and again; every eighth asks for what fails the batch that it is in."""
    assert site.dataplane is not None
    batches = site.dataplane.models.get("lookup").batcher.stats.batches  # type: ignore[union-attr]
    before = dict(batches)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(connect(site))) for _ in range(40)]
        for number in range(10):
            bodies = [lookup([OUT_OF_RANGE if each % 8 == number % 8 else each % PLACES], [1.0]) for each in range(40)]
            for client, body in zip(clients, bodies, strict=True):
                client.post(LOOKUP, body)
            for each, client in enumerate(clients):
                answer = client.answer()
                if each % 8 == number % 8:
                    assert answer.status == 500, answer
                else:
                    assert products(answer) == [each % PLACES * 10]
    shared = sum(count - before.get(rows, 0) for rows, count in batches.items() if rows > 1)
    assert shared > 0, "no two requests ever shared a batch"


def test_a_bomb_in_gzip_is_refused_at_the_cost_of_the_limit(site: Running, client: Client) -> None:
    packed, zeros = zlib.compressobj(9, wbits=31), bytes(2**20)
    first = packed.compress(zeros) + packed.flush(zlib.Z_FULL_FLUSH)
    bomb = first + (packed.compress(zeros) + packed.flush(zlib.Z_FULL_FLUSH)) * 1023  # 1 GiB in 1 MiB
    before = rss_mib()
    for path in (COLOURS, "/v2/models/colours/predict"):
        words = refused(client, 413, path, bomb, {"Content-Encoding": "gzip"})
        assert "decompressed, which is the limit" in words
    assert rss_mib() - before < 40, "nothing of it is kept"
    nested = gzip.compress(gzip.compress(behind_json()[0]))
    assert "not JSON" in refused(client, 400, COLOURS, nested, {"Content-Encoding": "gzip"})
    assert "cut short" in refused(client, 400, COLOURS, bomb[:100], {"Content-Encoding": "gzip"})


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, data: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_pictures_that_are_bombs(client: Client) -> None:
    path, before = "/v2/models/colours/predict", rss_mib()
    assert "more than 67108864 pixels" in refused(client, 413, path, png_of(60_000, 60_000, bytes(100)))
    refused(client, 413, path, png_of(2**31 - 1, 2**31 - 1, b""))
    refused(client, 400, path, png_of(100, 100, bytes(50)))  # its pixels are missing
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 2**27, zip=True)
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "blue").save(file, "PNG", pnginfo=text)
    assert asked(client, path, file.getvalue()).status in (200, 400)
    assert rss_mib() - before < 300, "128 MiB of text in 128 KiB"
    assert asked(client, COLOURS, *behind_json()).status == 200


def test_a_storm_of_clients_that_leave_is_forgotten(site: Running) -> None:
    """They go away after half a head, half a body, the whole request, or half of the answers."""
    assert site.dataplane is not None
    served = site.dataplane.models.get("colours")
    whole = request(COLOURS, json.dumps({"inputs": [IMAGE | {"data": list(BLUE)}]}).encode())
    threads = threading.active_count()

    def leave(number: int) -> None:
        client = connect(site)
        client.send((whole[:20], whole[:-30], whole, whole * 20)[number % 4])
        if number % 8 > 3:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if number % 4 == 3:
            client.socket.recv(1)
        client.close()

    for number in range(400):
        leave(number)
    client = connect(site)
    assert asked(client, COLOURS, *behind_json()).status == 200
    client.close()
    until(lambda: served.active == 0)
    assert served.batcher is not None
    assert (served.batcher.pending_rows, served.batcher.pending_bytes) == (0, 0)
    assert threading.active_count() <= threads + 1


MANY = """
import resource, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = [socket.create_connection((host, port), timeout=30) for _ in range(count)]
print("held", flush=True)
sys.stdin.readline()
"""


def test_ten_thousand_idle_connections(colours: Path) -> None:
    """They cost little memory and no answer its time; the client has a process, and so descriptors, of its own."""
    count, hard = 10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        pytest.skip(f"a process may open {hard} descriptors here")
    with server(str(colours), "--threads", "1", "--no-access-log") as (process, url):
        host, _, number = url.removeprefix("http://").partition(":")
        client, descriptors = Client(int(number)), Path(f"/proc/{process.pid}/fd")
        assert asked(client, COLOURS, *behind_json()).status == 200
        before, few = rss_mib(process.pid), len(list(descriptors.iterdir()))
        command = [sys.executable, "-c", MANY, host, number, str(count)]
        began = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as idle:
            assert idle.stdin is not None
            assert idle.stdout is not None
            assert idle.stdout.readline() == "held\n"
            assert time.monotonic() - began < 25, "with a short backlog, connections wait a second and more for a place"
            until(lambda: len(list(descriptors.iterdir())) >= few + count)
            for _ in range(20):
                assert asked(client, COLOURS, *behind_json()).status == 200
            assert (rss_mib(process.pid) - before) * 2**20 / count < 6_000  # bytes each
            idle.stdin.close()
        until(lambda: len(list(descriptors.iterdir())) == few)
        assert asked(client, COLOURS, *behind_json()).status == 200
        client.close()
