"""Buckets and the check of captured graphs on the CPU, where run options of CUDA graphs change nothing."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Predictor, binding, bundle, samples, warmup
from deploy.arrays import Array
from deploy.buckets import MAX_SESSIONS, SIZES, Buckets, bucket_sizes, form, prepare
from deploy.bundle import TensorSpec
from deploy.errors import OnnxwayError, ProviderError, UsageError
from deploy.passport import Passport
from deploy.placement import CPU, CUDA, Node, Placement
from deploy.providers import FixedBatchSession, Session, open_session
from deploy.warmup import Parts, Serving
from tests.deploy.conftest import plain

GRAPHS = {"enable_cuda_graph": "1", "device_id": "0"}


@pytest.fixture(scope="module")
def session(colours: Path) -> Session:
    return open_session(colours / "model.onnx", threads=1)


@pytest.fixture(scope="module")
def golden(colours: Path) -> tuple[samples.Sample, ...]:
    return samples.load(colours / bundle.SAMPLES)


@pytest.fixture(scope="module")
def passport(colours: Path) -> Passport:
    return bundle.load(colours).variant("fp32").passport


def like(session: Session, **changes: Any) -> Session:
    return dataclasses.replace(session, **changes)


def without_convolutions(session: Session) -> Session:
    return like(session, placement=Placement((Node("", "MatMul", CUDA),)))


def batch_like(golden: tuple[samples.Sample, ...], rows: int) -> dict[str, Array]:
    shape = golden[0].inputs["image"].shape[1:]
    return {"image": np.random.default_rng(rows).integers(0, 256, (rows, *shape), np.uint8)}


class Openings:
    """`reopen`, and how often it was called."""

    def __init__(self, session: Session) -> None:
        self.opened: list[Session] = []
        self._session = session

    def __call__(self) -> Session:
        self.opened.append(dataclasses.replace(self._session))
        return self.opened[-1]


def test_sizes_are_few_rising_and_numbers_of_rows(session: Session) -> None:
    assert bucket_sizes(session, ()) == SIZES
    assert len(SIZES) <= MAX_SESSIONS
    assert bucket_sizes(session, (8, 2, 8)) == (2, 8)
    with pytest.raises(UsageError, match="expected numbers of rows, 1 or more"):
        bucket_sizes(session, (0, 2))
    with pytest.raises(UsageError, match=r"copy of the weights on CUDA, so 3 at most; .* enable_cuda_graph"):
        bucket_sizes(session, (1, 2, 4, 8))
    assert bucket_sizes(like(session, options=GRAPHS), (1, 2, 4, 8)) == (1, 2, 4, 8)
    assert bucket_sizes(without_convolutions(session), (1, 2, 4, 8)) == (1, 2, 4, 8)


def test_a_model_that_takes_one_size_decides_itself(session: Session) -> None:
    values = {field.name: getattr(session, field.name) for field in dataclasses.fields(Session)}
    assert bucket_sizes(FixedBatchSession(**values, batch=5), (1, 8)) == (5,)
    unnamed = tuple(TensorSpec(spec.name, spec.dtype, ("?", *spec.shape[1:])) for spec in session.outputs)
    assert bucket_sizes(like(session, outputs=unnamed), (1, 8)) == (1,)


@pytest.mark.parametrize(
    ("kind", "opened"), [("convolutions", 2), ("no convolutions", 0), ("graphs", 0)], ids=lambda value: str(value)
)
def test_a_bucket_has_a_session_of_its_own_where_plans_are_kept(
    session: Session, golden: tuple[samples.Sample, ...], passport: Passport, kind: str, opened: int
) -> None:
    kinds: dict[str, Callable[[Session], Session]] = {
        "convolutions": lambda it: it,
        "no convolutions": without_convolutions,
        "graphs": lambda it: like(it, options=GRAPHS),
    }
    chosen = kinds[kind](session)
    openings = Openings(chosen)
    run = prepare(chosen, openings, (1, 2, 4), golden, passport)
    assert len(openings.opened) == opened
    assert len({id(one) for one in run.sessions.values()}) == opened + 1
    assert run.sessions[1] is chosen


@pytest.mark.parametrize("options", [{}, GRAPHS], ids=["eager", "graphs"])
def test_buckets_answer_as_the_session_does(
    session: Session, golden: tuple[samples.Sample, ...], passport: Passport, options: dict[str, str]
) -> None:
    run = prepare(like(session, options=options), Openings(session), (1, 2, 4), golden, passport)
    assert len(run.bound) == 3
    for rows in (4, 1, 2, 1, 4, 3):  # 3 is no bucket
        batch = batch_like(golden, rows)
        assert (form(batch, run.names) in run.bound) == (rows != 3)
        answer, expected = run(batch), session.run(batch)
        assert {name: array.tobytes() for name, array in answer.items()} == {
            name: array.tobytes() for name, array in expected.items()
        }


def test_other_shapes_run_in_the_session_of_their_rows(session: Session) -> None:
    one, four = (dataclasses.replace(session) for _ in range(2))
    ran: list[str] = []
    for name, it in (("one", one), ("four", four)):
        object.__setattr__(it, "run", lambda arrays, name=name: ran.append(name))
    run = Buckets(("image",), {1: one, 4: four}, {})
    for rows in (4, 1, 2):
        run({"image": np.zeros((rows, 5, 6, 3), np.uint8)})
    assert ran == ["four", "one", "one"]


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (
            lambda it: (*it, TensorSpec("boxes", "float32", (it[0].shape[0], "found", 4))),
            r"'boxes' has a size \(found\)",
        ),
        (lambda it: (*it, TensorSpec("boxes", "float32", (it[0].shape[0], "?", 4))), r"'boxes' has a size \(\?\)"),
        (lambda it: (TensorSpec(it[0].name, it[0].dtype, ("found",)),), "do not all begin with one axis of rows"),
        (lambda it: (*it, TensorSpec("word", "string", (it[0].shape[0],))), "texts have no place"),
    ],
    ids=["a size of its own", "a size without a name", "no rows", "texts"],
)
def test_outputs_without_a_known_place_run_without_buffers_and_have_no_graphs(
    session: Session,
    golden: tuple[samples.Sample, ...],
    passport: Passport,
    outputs: Callable[[tuple[TensorSpec, ...]], tuple[TensorSpec, ...]],
    words: str,
) -> None:
    inputs = tuple(TensorSpec(it.name, it.dtype, (it.shape[0], "?", *it.shape[2:])) for it in session.inputs)
    free = like(session, inputs=inputs, outputs=outputs(session.outputs))
    assert prepare(free, Openings(free), (1,), golden, passport).bound == {}
    with pytest.raises(ProviderError, match=rf"^enable_cuda_graph: .*{words}.*; leave enable_cuda_graph out"):
        prepare(like(free, options=GRAPHS), Openings(free), (1,), golden, passport)


def test_a_graph_is_not_replayed_once_its_buffers_are_others(
    session: Session, golden: tuple[samples.Sample, ...], passport: Passport, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare(like(session, options=GRAPHS), Openings(session), (2,), golden, passport)
    batch = batch_like(golden, 2)
    run(batch)
    monkeypatch.setattr(binding.Buffers, "addresses", (("image", (2, 9, 7, 3), 0),))
    with pytest.raises(OnnxwayError, match=r"CUDA graph \d+ was captured for other buffers"):
        run(batch)


class Crooked(binding.Buffers):
    """Graphs that go wrong: under an id above 0 the first answer comes again, or probabilities are a little off."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first: dict[str, Array] | None = None

    def run(self, arrays: Any, options: Any = None) -> dict[str, Array]:
        answer = super().run(arrays, options)
        if int(options.get_run_config_entry("gpu_graph_id")) < 1:
            return answer
        self.first = self.first or answer
        return self.wrong(answer)

    def wrong(self, answer: dict[str, Array]) -> dict[str, Array]:
        assert self.first
        return self.first


class Off(Crooked):
    off = 1e-3

    def wrong(self, answer: dict[str, Array]) -> dict[str, Array]:
        return answer | {"probabilities": answer["probabilities"] + np.float32(self.off)}


class Harmless(Off):
    off = 1e-8


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Crooked, r"of the captured graphs .*(differs in|\(rms\) from the same without a graph)"),
        (Off, r"'probabilities' of the captured graphs is 0\.001 \(rms\) from the same without a graph, allowed is"),
        (Harmless, None),
    ],
    ids=["the same answer again", "beyond the noise", "within the noise"],
)
def test_graphs_that_answer_otherwise_are_refused_with_the_figure(
    session: Session,
    golden: tuple[samples.Sample, ...],
    passport: Passport,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Crooked],
    words: str | None,
) -> None:
    monkeypatch.setattr("deploy.buckets.Buffers", kind)
    asked = like(session, options=GRAPHS)
    if words is None:
        assert prepare(asked, Openings(session), (1, 2), golden, passport).bound
        return
    with pytest.raises(ProviderError, match=words):
        prepare(asked, Openings(session), (1, 2), golden, passport)


def test_warm_up_on_cuda_pads_to_buckets(
    session: Session, golden: tuple[samples.Sample, ...], passport: Passport, colours: Path
) -> None:
    """Called a CUDA session, a session of the CPU is served as one."""
    named = like(session, provider="cuda", options={"device_id": "0"})
    openings: list[tuple[str, int]] = []

    def reopen(file: str, threads: int) -> Session:
        openings.append((file, threads))
        return named

    parts = Parts(named, True, reopen, "model.onnx", bundle.load(colours).manifest.cut, golden, passport)
    with pytest.MonkeyPatch.context() as patch, Predictor.load(colours, threads=1) as predictor:
        patch.setattr("deploy.binding._place", lambda _, array: on_cpu(array))
        kept, batcher = warmup.warm_up(parts, Serving(sizes=(2, 4)))
        assert kept is named
        assert openings == [("model.onnx", 1)]  # one more session, and no cut
        picture = predictor.arrays(plain((0, 0, 255)))
        answers = [batcher.submit(picture).result() for _ in range(3)]
        assert batcher._runner.run.sessions.keys() == {2, 4}  # type: ignore[attr-defined]
        batcher.close()
    assert (list(batcher.latency_s), batcher.lanes) == ([2, 4], 1)
    assert batcher._inline_rows == 0
    for answer in answers:
        assert len(answer["class_index"]) == 1
        assert np.allclose(answer["probabilities"], session.run(picture)["probabilities"], atol=1e-6)


def test_further_sessions_have_the_options_of_the_first(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    with Predictor.load(colours, threads=1) as predictor:
        monkeypatch.setattr("deploy.predictor.open_session", lambda *arguments, **_: opened.append(arguments[1:]))
        predictor.info = dataclasses.replace(predictor.info, provider="cuda", provider_options={"use_tf32": "1"})
        predictor._reopen("model.onnx", 1)
    assert opened == [("cuda", {"use_tf32": "1"})]


def on_cpu(array: Array) -> Any:
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype, "cpu", 0)


def test_more_lanes_than_one_are_refused_on_cuda(
    session: Session, golden: tuple[samples.Sample, ...], passport: Passport
) -> None:
    named = like(session, provider="cuda", placement=Placement((Node("", "Conv", CPU),)))
    parts = Parts(named, True, lambda *_: named, "model.onnx", None, golden, passport)
    with pytest.raises(UsageError, match="lanes 2: on CUDA a second one gains nothing"):
        warmup.warm_up(parts, Serving(lanes=2))
