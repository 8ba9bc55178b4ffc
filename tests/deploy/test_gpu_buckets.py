"""Buffers, buckets and CUDA graphs on a real GPU; skipped where none works (tests/conftest.py)."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from deploy import Predictor, bundle, samples
from deploy.arrays import Array
from deploy.buckets import Buckets, prepare
from deploy.providers import Session, open_session
from deploy.recertify import recertify
from deploy.warmup import Serving

pytestmark = pytest.mark.gpu

SIZES = (1, 8, 32)
EAGER: dict[str, object] = {}
GRAPHS: dict[str, object] = {"enable_cuda_graph": True}


@pytest.fixture(scope="module")
def golden(colours: Path) -> tuple[samples.Sample, ...]:
    return samples.load(colours / bundle.SAMPLES)


@pytest.fixture(scope="module", params=[EAGER, GRAPHS], ids=["eager", "graphs"])
def served(
    request: pytest.FixtureRequest, colours: Path, golden: tuple[samples.Sample, ...]
) -> tuple[Session, Buckets]:
    """A session and buckets for it, without CUDA graphs and with them."""
    return buckets_of(colours, golden, request.param)


def buckets_of(
    colours: Path, golden: tuple[samples.Sample, ...], options: dict[str, object], sizes: tuple[int, ...] = SIZES
) -> tuple[Session, Buckets]:
    passport = bundle.load(colours).variant("fp32").passport
    session = open_session(colours / "model.onnx", "cuda", options)
    reopen = lambda: open_session(colours / "model.onnx", "cuda", options)  # noqa: E731
    return session, prepare(session, reopen, sizes, golden, passport)


def pictures(golden: tuple[samples.Sample, ...], rows: int, seed: int) -> dict[str, Array]:
    shape = (rows, *golden[0].inputs["image"].shape[1:])
    return {"image": np.random.default_rng(seed).integers(0, 256, shape, np.uint8)}


def same(found: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:
    return np.array_equal(found["class_index"], expected["class_index"]) and np.allclose(
        found["probabilities"], expected["probabilities"], rtol=0, atol=1e-6
    )


def test_buckets_answer_as_the_cpu_does(
    served: tuple[Session, Buckets], colours: Path, golden: tuple[samples.Sample, ...]
) -> None:
    cpu = open_session(colours / "model.onnx")
    for rows, seed in itertools.product((*SIZES, 5), range(3)):
        batch = pictures(golden, rows, seed)
        assert same(served[1](batch), cpu.run(batch)), (rows, seed)


def test_buckets_in_turn_keep_their_answers(
    served: tuple[Session, Buckets], golden: tuple[samples.Sample, ...]
) -> None:
    """Every input is new, a plain run comes in between, and an answer is looked at after the next runs."""
    session, run = served
    batches = [pictures(golden, rows, seed) for seed in range(3) for rows in SIZES]
    expected = [run(batch) for batch in batches]
    copies = [{name: array.copy() for name, array in answer.items()} for answer in expected]
    for turn in range(100):
        for batch, answer in zip(batches, copies, strict=True):
            assert same(run(batch), answer), turn
        session.run(pictures(golden, 1 + turn % 7, turn))
    for answer, copy in zip(expected, copies, strict=True):
        assert all(np.array_equal(answer[name], copy[name]) for name in copy)


def test_pictures_of_another_size_run_without_buffers(served: tuple[Session, Buckets]) -> None:
    session, run = served
    batch = {"image": np.full((8, 11, 5, 3), 200, np.uint8)}
    assert same(run(batch), session.run(batch))


@pytest.mark.parametrize("options", [EAGER, GRAPHS], ids=["eager", "graphs"])
def test_a_predictor_serves_through_buckets(certified: Path, options: dict[str, object]) -> None:
    assert recertify(certified, "cuda")
    golden = samples.load(certified / bundle.SAMPLES)
    with Predictor.load(certified, "cuda", provider_options=options) as predictor:
        batcher = predictor.warm_up(Serving(sizes=(1, 8)))
        assert list(batcher.latency_s) == [1, 8]
        asked = [pictures(golden, 1, seed) for seed in range(40)]
        futures = [batcher.submit(arrays) for arrays in asked]
        for arrays, future in zip(asked, futures, strict=True):
            assert same(future.result(timeout=60), predictor.infer(arrays))


def test_graphs_are_not_slower(colours: Path, golden: tuple[samples.Sample, ...]) -> None:
    eager, graphs = (buckets_of(colours, golden, options, sizes=(1,))[1] for options in (EAGER, GRAPHS))
    batch = pictures(golden, 1, 0)
    times = [(seconds(lambda: eager(batch)), seconds(lambda: graphs(batch))) for _ in range(300)]
    without, captured = (statistics.median(column) for column in zip(*times, strict=True))
    assert captured < 1.1 * without, f"{captured:.2e} s with a graph, {without:.2e} s without"


def test_changing_buckets_makes_no_new_plans(
    served: tuple[Session, Buckets], golden: tuple[samples.Sample, ...]
) -> None:
    run = served[1]
    one, eight = pictures(golden, 1, 0), pictures(golden, 8, 0)
    run(one), run(eight)
    steady = statistics.median([seconds(lambda: run(one)) for _ in range(100)])
    times = []
    for _ in range(100):
        run(eight)
        times.append(seconds(lambda: run(one)))
    assert statistics.median(times) < 2 * steady


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
