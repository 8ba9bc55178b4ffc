"""Buffers and CUDA graphs with the real provider over stand-ins: which calls, in which order; never values."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import COLOURS
from tests.rehearsal.plugin import SHAPE_ARITHMETIC, Rehearsal, build, onnx_file, require_rehearsal

NETWORK = """g (float[n, 4] x) => (float[n, 3] y, int64[n] k)
    <float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}> {
        a = MatMul(x, w)
        y = Relu(a)
        k = ArgMax<axis = 1, keepdims = 0>(y)
    }"""

PARTS = """
import threading
from types import SimpleNamespace
import numpy as np
from deploy import cuda, providers, samples, warmup
from deploy.bundle import Cut
from deploy.errors import OnnxwayError
from deploy.samples import Sample
from deploy.warmup import Parts, Serving

def say(text):
    print("#", text, file=sys.stderr, flush=True)

samples.replay = lambda *_: ()  # nothing is computed here
session = providers.open_session(sys.argv[1], "cuda", json.loads(sys.argv[2]))
row = np.arange(4, dtype=np.float32)[None]
golden = [Sample({"x": row}, session.run({"x": row})), Sample({"x": row + 1}, session.run({"x": row + 1}))]
passport = SimpleNamespace(noise={"y": 1e-6}, limit=4.0)
parts = Parts(session, True, None, "model.onnx", None, golden, passport)
warmup._REPEATS, warmup._MEASURE_S = 1, 0.0
"""

SERVE = (
    PARTS
    + """
say("warm-up")
try:
    run, _, batcher = warmup.warm_up(parts, Serving(sizes=(1, 4)))
except OnnxwayError as error:
    print(json.dumps({"error": type(error).__name__, "words": str(error)}))
    sys.exit()
for rows in (1, 3):
    say(f"{rows} rows")
    answer = batcher.submit({"x": np.zeros((rows, 4), np.float32)}).result()
    assert {name: len(array) for name, array in answer.items()} == {"y": rows, "k": rows}
say("at once")
run({"x": np.zeros((2, 4), np.float32)})
say("plain")
session.run({"x": np.zeros((2, 4), np.float32)})
say("closing")
batcher.close()
print(json.dumps({"sizes": list(batcher.latency_s), "lanes": batcher.lanes}))
"""
)

GRAPHS = '{"enable_cuda_graph": true}'
UP, DOWN = "Memcpy {} kind 1", "Memcpy {} kind 2"


def phases(lines: list[str]) -> dict[str, list[str]]:
    """Split calls at the marks that the script made."""
    found: dict[str, list[str]] = {"start": []}
    for line in lines:
        if line.startswith("# "):
            found[line[2:]] = []
        else:
            found[list(found)[-1]].append(line)
    return found


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_file(tmp_path_factory.mktemp("network"), NETWORK)


@pytest.fixture(scope="module")
def eager(cuda_rehearsal: Rehearsal, network: Path) -> tuple[Any, dict[str, list[str]]]:
    answer, lines = cuda_rehearsal.script(SERVE, network, "{}")
    return answer, phases(lines)


@pytest.fixture(scope="module")
def captured(cuda_rehearsal: Rehearsal, network: Path) -> tuple[Any, dict[str, list[str]]]:
    answer, lines = cuda_rehearsal.script(SERVE, network, GRAPHS)
    return answer, phases(lines)


def test_rehearsal_batches_go_through_buffers(eager: tuple[Any, dict[str, list[str]]]) -> None:
    """Up, kernels, down, and no memory is allocated; the floats and the integers of 1 row, and of 3 padded to 4.

    What is asked at once, and not queued, goes the same way.
    """
    answer, calls = eager
    assert answer == {"sizes": [1, 4], "lanes": 1}
    for phase, rows in (("1 rows", 1), ("3 rows", 4), ("at once", 4)):
        copies = [call for call in calls[phase] if call.startswith("Memcpy")]
        assert copies == [UP.format(16 * rows), DOWN.format(12 * rows), DOWN.format(8 * rows)]
        assert calls[phase].count("kernel") == calls["1 rows"].count("kernel") > 0
        assert not any("Malloc" in call or "Graph" in call for call in calls[phase])
        assert calls[phase].index(UP.format(16 * rows)) < calls[phase].index("kernel")
        synchronized = len(calls[phase]) - calls[phase][::-1].index("StreamSynchronize")
        assert synchronized > len(calls[phase]) - calls[phase][::-1].index("kernel")


def test_rehearsal_graphs_are_captured_at_warm_up_and_replayed_afterwards(
    captured: tuple[Any, dict[str, list[str]]],
) -> None:
    answer, calls = captured
    assert answer == {"sizes": [1, 4], "lanes": 1}
    assert calls["warm-up"].count("BeginCapture mode 0") == 2  # a bucket each, on one thread
    for phase, rows in (("1 rows", 1), ("3 rows", 4), ("at once", 4)):
        told = [call for call in calls[phase] if call != "StreamSynchronize"]
        assert told == [UP.format(16 * rows), "GraphLaunch", DOWN.format(12 * rows), DOWN.format(8 * rows)]
    assert "GraphLaunch" not in calls["start"]  # nor does the warm-up run at load capture anything
    assert "kernel" in calls["plain"]
    assert not any("Graph" in call or "Capture" in call for call in calls["plain"])


def test_rehearsal_each_bucket_answers_without_a_graph_before_its_capture(
    captured: tuple[Any, dict[str, list[str]]],
) -> None:
    warm_up = captured[1]["warm-up"]
    captures = [at for at, call in enumerate(warm_up) if call.startswith("BeginCapture")]
    for at, rows in zip(captures, (1, 4), strict=True):
        before = warm_up[:at]
        assert before.count(UP.format(16 * rows)) == 3  # twice for what is expected, once for the capture
        assert before.count(DOWN.format(12 * rows)) == 2
        inside = warm_up[at : at + warm_up[at:].index("EndCapture")]
        assert set(inside[1:]) == {"kernel"}
    after = warm_up[captures[-1] :]
    alternating = [call for call in after if call in (UP.format(16), UP.format(64))]
    assert alternating[:4] == [UP.format(16), UP.format(64)] * 2


def test_rehearsal_all_graphs_run_on_one_thread(cuda_rehearsal: Rehearsal, network: Path) -> None:
    """Whoever asks: a graph that another thread replays would be captured there once more."""
    script = (
        PARTS
        + """
from concurrent.futures import ThreadPoolExecutor
from deploy import buckets
run = buckets.prepare(session, None, (2,), golden, passport).run
say("asking")
with ThreadPoolExecutor(3) as pool:
    together = threading.Barrier(3)
    def ask(_):
        together.wait(20)
        return len(run({"x": np.zeros((2, 4), np.float32)})["y"])
    print(json.dumps(list(pool.map(ask, range(3)))))
"""
    )
    answer, lines = cuda_rehearsal.script(script, network, GRAPHS)
    assert answer == [2, 2, 2]
    asking = phases(lines)["asking"]
    assert asking.count("GraphLaunch") == 3
    assert "kernel" not in asking


def test_rehearsal_a_second_warm_up_captures_anew(cuda_rehearsal: Rehearsal, network: Path) -> None:
    """What the session captured before belongs to buffers that are gone."""
    script = (
        PARTS
        + """
from deploy import buckets
for turn in ("first", "second"):
    say(turn)
    buckets.prepare(session, None, (2,), golden, passport)
print("null")
"""
    )
    _, lines = cuda_rehearsal.script(script, network, GRAPHS)
    calls = phases(lines)
    assert calls["first"].count("BeginCapture mode 0") == calls["second"].count("BeginCapture mode 0") == 1


def test_rehearsal_buffers_refuse_what_does_not_fit(cuda_rehearsal: Rehearsal, network: Path) -> None:
    """float64 in the place of float32 would be copied as it lies."""
    script = (
        PARTS
        + """
from deploy.binding import Buffers
row = {"x": np.zeros((2, 4), np.float32)}
buffers = Buffers(session, row, session.run(row))
say("asking")
words = []
for wrong in (np.zeros((2, 4)), np.zeros((4, 2), np.float32), np.zeros((1, 4), np.float32)):
    try:
        buffers.run({"x": wrong})
    except OnnxwayError as error:
        words.append(str(error))
print(json.dumps(words))
"""
    )
    words, lines = cuda_rehearsal.script(script, network, "{}")
    assert [said.split(",")[0] for said in words] == [
        "input 'x' is float64 (2",
        "input 'x' is float32 (4",
        "input 'x' is float32 (1",
    ]
    assert phases(lines)["asking"] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            """g (float[n] x, bool c) => (float[n] y) { y = If(c) <then_branch = t () => (float[n] p) { p = Sin(x) },
               else_branch = e () => (float[n] q) { q = Cos(x) }> }""",
            "enable_cuda_graph: the graph has control flow, which runs on the CPU (If); leave enable_cuda_graph out",
        ),
        ("g (float[n] x) => (int64[a, b] y) { y = NonZero(x) }", "output sizes depend on the data (NonZero)"),
        (
            "g (float[n] x) => (float[n] y) { a = Celu(x) y = Sin(a) }",
            "enable_cuda_graph: no CUDA graph can be captured: all compute graph nodes have not been partitioned",
        ),
        (
            """g (float[n] x) => (float[n] y) <float s = {0.1}, int8 z = {0}> {
                q = QuantizeLinear(x, s, z)
                y = DequantizeLinear(q, s, z)
            }""",
            "quantized to int8 (DequantizeLinear, QuantizeLinear)",
        ),
        (
            "g (int16[n] x) => (float[n] y) { a = Mod<fmod = 0>(x, x) b = Cast<to = 1>(a) y = Sin(b) }",
            "enable_cuda_graph: no CUDA graph can be captured: all compute graph nodes have not been partitioned",
        ),
    ],
    ids=["control flow", "data-dependent", "a node on the CPU", "int8", "copies"],
)
def test_rehearsal_refuses_graphs_of(cuda_rehearsal: Rehearsal, tmp_path: Path, text: str, words: str) -> None:
    answer = cuda_rehearsal.open(onnx_file(tmp_path, text), {"enable_cuda_graph": 1})
    assert answer["error"] == "ProviderError"
    assert words in answer["words"]


def test_rehearsal_shape_arithmetic_on_the_cpu_leaves_no_copies_in_a_graph(
    cuda_rehearsal: Rehearsal, tmp_path: Path
) -> None:
    """What is captured is kernels, and copies within the device ("kind 3")."""
    model = onnx_file(
        tmp_path,
        SHAPE_ARITHMETIC,
    )
    script = """
from deploy import providers
from deploy.binding import Buffers
import numpy as np
session = providers.open_session(sys.argv[1], "cuda", {"enable_cuda_graph": True})
batch = {"x": np.zeros((2, 3, 4, 5), np.float32)}
Buffers(session, batch, session.run(batch)).run(batch, providers.graph_id(1))
print(json.dumps(sorted(node.operator for node in session.placement.nodes if node.provider.startswith("CPU"))))
"""
    on_cpu, lines = cuda_rehearsal.script(script, model)
    assert on_cpu == ["Concat", "Gather"]
    begin, end = lines.index("BeginCapture mode 0"), lines.index("EndCapture")
    assert set(lines[begin + 1 : end]) == {"kernel", "MemcpyAsync 480 kind 3"}


def test_rehearsal_a_bundle_of_ours_may_have_graphs(cuda_rehearsal: Rehearsal) -> None:
    """Its picture's size is free and its graph resizes: all of that is on the GPU."""
    answer = cuda_rehearsal.open(COLOURS / "model.onnx", {"enable_cuda_graph": 1}, warm_up=False)
    assert "error" not in answer, answer
    assert answer["taken"]["enable_cuda_graph"] == "1"


@pytest.mark.parametrize("value", [True, 1, "true", "True"])
def test_rehearsal_the_option_is_read_as_onnx_runtime_reads_it(
    cuda_rehearsal: Rehearsal, network: Path, value: object
) -> None:
    answer = cuda_rehearsal.open(network, {"enable_cuda_graph": value})
    assert answer["taken"]["enable_cuda_graph"] == "1"
    script = PARTS + "print(json.dumps([cuda.captures(session.options), session._run_options is not None]))"
    assert cuda_rehearsal.script(script, network, json.dumps({"enable_cuda_graph": value}))[0] == [True, True]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ('LOG("EndCapture"); *graph = &token; return 0;', "return 901;"),
            "enable_cuda_graph: the graph makes a call that cannot be captured (CUDA failure 901: rehearsal); leave",
        ),
        (
            (
                'LOG("Memcpy %zu kind %d", n, kind); memcpy(d, s, n); return 0;',
                "static int calls; memcpy(d, s, n); if (kind == 2) memset(d, 0x40 + calls++ % 8, n); return 0;",
            ),
            "enable_cuda_graph: output 'y' of the captured graphs is ",
        ),
    ],
    ids=["capture fails", "answers differ"],
)
def test_rehearsal_graphs_that_do_not_work_are_refused(
    tmp_path: Path, network: Path, change: tuple[str, str], words: str
) -> None:
    require_rehearsal()
    stand_ins = Rehearsal(build(tmp_path, change))
    answer, _ = stand_ins.script(SERVE, network, GRAPHS)
    assert answer["error"] == "ProviderError"
    assert words in answer["words"]
