"""Buffers, buckets and CUDA graphs on a real GPU; skipped where none works (tests/conftest.py)."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from deploy import Predictor, bundle, samples
from deploy.arrays import Array
from deploy.binding import Preprocessing
from deploy.buckets import Buckets, prepare
from deploy.lanes import Runner
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
    reopen = partial(open_session, colours / "model.onnx", "cuda", options)
    return session, prepare(session, reopen, sizes, golden, passport)


@pytest.fixture(scope="module", params=[EAGER, GRAPHS], ids=["eager", "graphs"])
def behind_the_cut(request: pytest.FixtureRequest, colours: Path, golden: tuple[samples.Sample, ...]) -> Buckets:
    """Buckets of the network behind the cut, which take pictures of all sizes."""
    passport = bundle.load(colours).variant("fp32").passport
    reopen = partial(open_session, colours / "net.onnx", "cuda", request.param)
    front = Preprocessing(open_session(colours / "pre.onnx", "cuda"))
    return prepare(reopen(), reopen, SIZES, golden, passport, front)


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
    for rows, seed in itertools.product((*SIZES, 5, 70), range(3)):
        batch = pictures(golden, rows, seed)
        assert same(served[1].run(batch), cpu.run(batch)), (rows, seed)


def test_buckets_in_turn_keep_their_answers(
    served: tuple[Session, Buckets], golden: tuple[samples.Sample, ...]
) -> None:
    """Every input is new, a plain run comes in between, and an answer is looked at after the next runs."""
    session, run = served[0], served[1].run
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
    session, found = served
    batch = {"image": np.full((8, 11, 5, 3), 200, np.uint8)}
    assert same(found.run(batch), session.run(batch))


def test_pictures_of_all_sizes_share_a_batch(behind_the_cut: Buckets, colours: Path) -> None:
    """Every one with the answer of the whole graph on the CPU, whatever lies in the bucket from the batch before."""
    cpu = open_session(colours / "model.onnx", threads=1)
    run = Runner(behind_the_cut.run, behind_the_cut.mixed)
    generator = np.random.default_rng(0)
    for turn in range(100):
        shapes = [tuple(generator.integers(1, high) for high in (4, 300, 300)) for _ in range(1 + turn % 10)]
        jobs = [{"image": generator.integers(0, 256, (*shape, 3), np.uint8)} for shape in shapes]
        for job, answer in zip(jobs, run(jobs), strict=True):
            assert same(answer, cpu.run(job)), (turn, shapes)


def test_what_is_preprocessed_lies_where_it_was_put(colours: Path) -> None:
    """Rows may begin at any address, and are the same, bit by bit, as those that come down from a plain run."""
    session = open_session(colours / "pre.onnx", "cuda")
    front = Preprocessing(session)
    generator = np.random.default_rng(0)
    jobs = [{"image": generator.integers(0, 256, (rows, 30, 17 + rows, 3), np.uint8)} for rows in (1, 3, 2)]
    expected = np.concatenate([session.run(job)["preprocessed"] for job in jobs])
    place = onnxruntime.OrtValue.ortvalue_from_shape_and_type([expected.size + 1], np.float32, "cuda", 0)
    place.update_inplace(np.zeros(expected.size + 1, np.float32))
    address = place.data_ptr() + 4
    for job in jobs:
        front.write(job, address)
        address += len(job["image"]) * expected[0].nbytes
    assert np.array_equal(place.numpy()[1:], expected.ravel())


@pytest.mark.parametrize("options", [EAGER, GRAPHS], ids=["eager", "graphs"])
@pytest.mark.parametrize("mixed", [True, False], ids=["mixed", "whole"])
def test_a_predictor_serves_through_buckets(certified: Path, options: dict[str, object], *, mixed: bool) -> None:
    assert recertify(certified, "cuda")
    golden = samples.load(certified / bundle.SAMPLES)
    cpu = open_session(certified / "model.onnx", threads=1)
    with Predictor.load(certified, "cuda", provider_options=options) as predictor:
        asked = [pictures(golden, 1, seed) for seed in range(40)]
        asked += [{"image": arrays["image"][:, :5, 1:]} for arrays in asked]
        for arrays in asked[::10]:
            assert same(predictor.infer(arrays), cpu.run(arrays))
        batcher = predictor.warm_up(Serving(sizes=(1, 8), mixed=mixed))
        assert list(batcher.latency_s) == [1, 8]
        futures = [batcher.submit(arrays) for arrays in asked]
        for arrays, future in zip(asked, futures, strict=True):
            expected = cpu.run(arrays)
            assert same(predictor.infer(arrays), expected)
            assert same(future.result(timeout=60), expected)


def test_a_warm_predictor_is_not_slower_than_a_plain_run(certified: Path) -> None:
    """Neither at one size of batch, nor where the sizes change, which makes plans anew in a plain session."""
    assert recertify(certified, "cuda")
    golden = samples.load(certified / bundle.SAMPLES)
    with Predictor.load(certified, "cuda") as predictor:
        predictor.warm_up(Serving(sizes=(1, 8)))
        session = open_session(certified / "model.onnx", "cuda")
        for sizes in ((8,), (1, 5, 8)):
            batches = [pictures(golden, rows, rows) for rows in sizes]
            times = [(seconds(partial(each, session.run, batches)), seconds(partial(each, predictor.infer, batches)))
                     for _ in range(100)]  # fmt: skip
            plain, warm = (statistics.median(column) for column in zip(*times, strict=True))
            assert warm < 1.1 * plain, f"{sizes}: {warm:.2e} s through buckets, {plain:.2e} s by plain runs"


def test_pictures_of_all_sizes_gain_by_sharing_a_batch(behind_the_cut: Buckets) -> None:
    jobs = [{"image": np.full((1, 40 + number, 30, 3), number, np.uint8)} for number in range(8)]
    run = Runner(behind_the_cut.run, behind_the_cut.mixed)
    times = [(seconds(partial(run, jobs)), seconds(partial(each, behind_the_cut.run, jobs))) for _ in range(100)]
    together, alone = (statistics.median(column) for column in zip(*times, strict=True))
    assert together < alone, f"{together:.2e} s in one batch, {alone:.2e} s one by one"


def test_graphs_are_not_slower(colours: Path, golden: tuple[samples.Sample, ...]) -> None:
    eager, graphs = (buckets_of(colours, golden, options, sizes=(1,))[1] for options in (EAGER, GRAPHS))
    batch = pictures(golden, 1, 0)
    times = [(seconds(lambda: eager.run(batch)), seconds(lambda: graphs.run(batch))) for _ in range(300)]
    without, captured = (statistics.median(column) for column in zip(*times, strict=True))
    assert captured < 1.1 * without, f"{captured:.2e} s with a graph, {without:.2e} s without"


def test_changing_buckets_makes_no_new_plans(
    served: tuple[Session, Buckets], golden: tuple[samples.Sample, ...]
) -> None:
    run = served[1].run
    one, eight = pictures(golden, 1, 0), pictures(golden, 8, 0)
    run(one), run(eight)
    steady = statistics.median([seconds(lambda: run(one)) for _ in range(100)])
    times = []
    for _ in range(100):
        run(eight)
        times.append(seconds(lambda: run(one)))
    assert statistics.median(times) < 2 * steady


def each(run: Callable[[dict[str, Array]], object], batches: Sequence[dict[str, Array]]) -> None:
    for batch in batches:
        run(batch)


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
