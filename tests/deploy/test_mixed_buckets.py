"""Pictures of all sizes through the buckets of the network behind the cut, on the CPU; what warm-up on CUDA makes."""

import asyncio
import dataclasses
import gc
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import Predictor, bundle, samples, warmup
from deploy.arrays import Array
from deploy.binding import Preprocessing
from deploy.buckets import Bucket, Buckets, prepare
from deploy.bundle import TensorSpec
from deploy.errors import ProviderError, UsageError
from deploy.lanes import Runner
from deploy.passport import Passport
from deploy.providers import Session, open_session
from deploy.warmup import Parts, Serving, Warm
from tests.deploy.conftest import plain

Opened = list[tuple[str, bool]]

GRAPHS = {"enable_cuda_graph": "1", "device_id": "0"}


@pytest.fixture(scope="module")
def whole(colours: Path) -> Session:
    return open_session(colours / "model.onnx", threads=1)


@pytest.fixture(scope="module")
def network(colours: Path) -> Session:
    return open_session(colours / "net.onnx", threads=1)


@pytest.fixture(scope="module")
def front(colours: Path) -> Preprocessing:
    return Preprocessing(open_session(colours / "pre.onnx", threads=1))


@pytest.fixture(scope="module")
def golden(colours: Path) -> tuple[samples.Sample, ...]:
    return samples.load(colours / bundle.SAMPLES)


@pytest.fixture(scope="module")
def passport(colours: Path) -> Passport:
    return bundle.load(colours).variant("fp32").passport


@pytest.fixture(scope="module", params=[{}, GRAPHS], ids=["eager", "graphs"])
def served(
    request: pytest.FixtureRequest,
    network: Session,
    front: Preprocessing,
    golden: tuple[samples.Sample, ...],
    passport: Passport,
) -> Buckets:
    session = dataclasses.replace(network, options=request.param)
    return prepare(session, lambda: dataclasses.replace(session), (1, 8, 18), golden, passport, front)


def pictures(rows: int, height: int, width: int) -> dict[str, Array]:
    seed = np.random.default_rng((rows, height, width))
    return {"image": seed.integers(0, 256, (rows, height, width, 3), np.uint8)}


def same(answer: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:
    return np.array_equal(answer["class_index"], expected["class_index"]) and np.allclose(
        answer["probabilities"], expected["probabilities"], rtol=0, atol=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=6))
def test_each_job_gets_what_the_whole_graph_gives_it_alone(
    served: Buckets, whole: Session, sizes: list[tuple[int, int, int]]
) -> None:
    """Whatever the batch before left in the rows that are not used."""
    jobs = [pictures(*size) for size in sizes]
    for job, answer in zip(jobs, Runner(served.run, served.mixed)(jobs), strict=True):
        assert same(answer, whole.run(job))


@pytest.mark.parametrize("rows", [1, 7, 18, 40])
def test_any_number_of_pictures_of_one_size(served: Buckets, whole: Session, rows: int) -> None:
    assert same(served.run(pictures(rows, 31, 5)), whole.run(pictures(rows, 31, 5)))


def test_jobs_of_one_size_are_preprocessed_together(network: Session, golden: Any, passport: Passport) -> None:
    written: list[int] = []

    class Watched(Preprocessing):
        def write(self, arrays: Mapping[str, Array], address: int) -> None:
            written.append(len(arrays["image"]))
            super().write(arrays, address)

    front = Watched(open_session(bundle_file("pre.onnx"), threads=1))
    found = prepare(network, lambda: network, (8,), golden, passport, front)
    written.clear()
    run = Runner(found.run, found.mixed)
    run([pictures(rows, 9, 7) for rows in (1, 2, 3)])
    assert written == [6]  # and not 8: what fills the bucket up is not preprocessed
    run([pictures(1, 9, 7), pictures(2, 9, 8)])
    assert written == [6, 1, 2]


def test_a_network_whose_outputs_have_no_known_place_shares_batches_too(
    network: Session, front: Preprocessing, whole: Session
) -> None:
    found = Buckets((Bucket(4, network), Bucket(8, network)), front)
    jobs = [pictures(2, 9, 7), pictures(3, 5, 40)]
    for job, answer in zip(jobs, Runner(found.run, found.mixed)(jobs), strict=True):
        assert same(answer, whole.run(job))


def bundle_file(name: str) -> Path:
    return Path(__file__).parent / "fixtures" / "colours" / name


@pytest.fixture
def as_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Warm, Opened]]]:
    """Warm up as on CUDA: sessions are called so, and their buffers lie on the CPU."""
    monkeypatch.setattr("deploy.binding._device", lambda _: ("cpu", 0))
    batchers = []

    def warm_up(source: Path, serving: Serving, *, cut: bool = True, **changes: Any) -> tuple[Warm, Opened]:
        opened: Opened = []

        def reopen(file: str, threads: int, *, graphs: bool = True) -> Session:
            opened.append((file, graphs))
            session = open_session(source / file, threads=threads)
            return dataclasses.replace(session, provider="cuda", options={"device_id": "0"})

        session = dataclasses.replace(reopen("model.onnx", 1), **changes)
        manifest = bundle.load(source).manifest
        golden, passport = samples.load(source / bundle.SAMPLES), manifest.variants["fp32"].passport
        opened.clear()
        parts = Parts(session, True, reopen, "model.onnx", manifest.cut if cut else None, golden, passport)
        warm = warmup.warm_up(parts, serving)
        batchers.append(warm.batcher)
        return warm, opened

    yield warm_up
    for batcher in batchers:
        batcher.close()


def test_on_cuda_pictures_of_all_sizes_share_buckets(
    colours: Path, whole: Session, as_cuda: Callable[..., tuple[Warm, Opened]]
) -> None:
    warm, opened = as_cuda(colours, Serving(sizes=(2, 8)))
    assert opened == [("pre.onnx", False), ("net.onnx", True), ("net.onnx", True)]
    assert (list(warm.batcher.latency_s), warm.batcher.lanes, warm.batcher._inline_rows) == ([2, 8], 1, 0)
    jobs = [pictures(1, 4 + number, 9) for number in range(8)]

    async def ask() -> list[Mapping[str, Array]]:
        return await asyncio.gather(*map(warm.batcher.run, jobs))

    for job, answer in zip(jobs, asyncio.run(ask()), strict=True):
        assert same(answer, whole.run(job))
    assert warm.batcher.stats.batches == {8: 1}
    assert same(warm.run(jobs[0]), whole.run(jobs[0]))


@pytest.mark.parametrize(("mixed", "cut"), [(False, True), (True, False)])
def test_on_cuda_without_a_cut_the_whole_graph_has_the_buckets(
    colours: Path, whole: Session, as_cuda: Callable[..., tuple[Warm, Opened]], mixed: bool, cut: bool
) -> None:
    warm, opened = as_cuda(colours, Serving(sizes=(2, 8), mixed=mixed), cut=cut)
    assert opened == [("model.onnx", True)]
    jobs = [pictures(1, height, 9) for height in (8, 8, 4)]
    answers = [warm.batcher.submit(job) for job in jobs]
    for job, answer in zip(jobs, answers, strict=True):
        assert same(answer.result(10), whole.run(job))


@pytest.mark.parametrize("mixed", [True, False])
def test_on_cuda_the_whole_graph_is_released_where_it_does_not_serve(colours: Path, as_cuda: Any, mixed: bool) -> None:
    released: list[bool] = []
    session = open_session(colours / "model.onnx", threads=1).raw
    weakref.finalize(session, released.append, True)
    kept = as_cuda(colours, Serving(sizes=(2,), mixed=mixed), raw=session)
    del session
    gc.collect()
    assert released == [True] * mixed
    assert kept


def test_on_cuda_rows_that_do_not_mix_run_alone_and_have_no_graphs(
    colours: Path, whole: Session, as_cuda: Callable[..., tuple[Warm, Opened]]
) -> None:
    found = tuple(TensorSpec(spec.name, spec.dtype, ("found", *spec.shape[1:])) for spec in whole.outputs)
    warm, opened = as_cuda(colours, Serving(), outputs=found)
    assert (opened, list(warm.batcher.latency_s)) == ([], [1])
    assert same(warm.batcher.submit(pictures(3, 9, 7)).result(10), whole.run(pictures(3, 9, 7)))
    with pytest.raises(ProviderError, match="enable_cuda_graph: inputs and outputs do not all begin with one axis"):
        as_cuda(colours, Serving(), outputs=found, options=GRAPHS)


def test_on_cuda_more_lanes_than_one_are_refused(colours: Path, as_cuda: Callable[..., tuple[Warm, Opened]]) -> None:
    with pytest.raises(UsageError, match="lanes 2: on CUDA a second one gains nothing"):
        as_cuda(colours, Serving(lanes=2))


def test_further_sessions_have_the_options_of_the_first_and_preprocessing_no_graphs(
    colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    with Predictor.load(colours, threads=1) as predictor:
        monkeypatch.setattr("deploy.predictor.open_session", lambda *arguments, **_: opened.append(arguments[1:]))
        options = {"use_tf32": "1", "enable_cuda_graph": "1"}
        predictor.info = dataclasses.replace(predictor.info, provider="cuda", provider_options=options)
        predictor._reopen("net.onnx", 1)
        predictor._reopen("pre.onnx", 1, graphs=False)
    assert opened == [("cuda", options), ("cuda", {"use_tf32": "1"})]


def test_a_warm_predictor_answers_by_what_warm_up_made(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []
    real = warmup.warm_up

    def watched(parts: Parts, serving: Serving) -> Warm:
        warm = real(parts, serving)

        def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
            asked.append(arrays["image"].shape)
            return warm.run(arrays)

        return warm._replace(run=run)

    monkeypatch.setattr(warmup, "warm_up", watched)
    with Predictor.load(colours, threads=1) as predictor:
        before = predictor.predict(plain((0, 0, 255)))
        assert not asked
        predictor.warm_up()
        assert predictor.predict(plain((0, 0, 255))).label == before.label == "blue"
        predictor.predict_many([plain((255, 0, 0))] * 3)
    assert asked == [(1, 9, 7, 3), (3, 9, 7, 3)]
