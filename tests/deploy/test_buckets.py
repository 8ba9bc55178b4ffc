"""Buckets and the check of captured graphs on the CPU, where run options of CUDA graphs change nothing."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import binding, bundle, samples
from deploy.arrays import Array
from deploy.buckets import MAX_SESSIONS, SIZES, Bucket, Buckets, bucket_sizes, prepare
from deploy.bundle import TensorSpec
from deploy.errors import BundleError, OnnxwayError, ProviderError, UsageError
from deploy.passport import Passport
from deploy.placement import CUDA, Node, Placement
from deploy.providers import FixedBatchSession, Session, open_session

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
    found = prepare(chosen, openings, (1, 2, 4), golden, passport)
    assert len(openings.opened) == opened
    assert len({id(bucket.session) for bucket in found.buckets}) == opened + 1
    assert found.buckets[0].session is chosen
    assert found.sizes == (1, 2, 4)


@pytest.mark.parametrize("options", [{}, GRAPHS], ids=["eager", "graphs"])
def test_buckets_answer_as_the_session_does(
    session: Session, golden: tuple[samples.Sample, ...], passport: Passport, options: dict[str, str]
) -> None:
    found = prepare(like(session, options=options), Openings(session), (1, 2, 4), golden, passport)
    for rows in (4, 1, 2, 1, 4, 3, 5, 11):  # the last three are no bucket
        batch = batch_like(golden, rows)
        answer, expected = found.run(batch), session.run(batch)
        assert {name: array.tobytes() for name, array in answer.items()} == {
            name: array.tobytes() for name, array in expected.items()
        }


class Watched:
    """Sessions and buffers of two buckets, and what ran where."""

    def __init__(self, session: Session) -> None:
        self.ran: list[tuple[str, int]] = []
        self._session = session
        self.buckets = Buckets((self._bucket("one", 1), self._bucket("four", 4)))

    def _bucket(self, name: str, rows: int) -> Bucket:
        one = dataclasses.replace(self._session)
        batch = {"image": np.zeros((rows, 9, 7, 3), np.uint8)}
        bound = binding.Buffers(one, batch, one.run(batch))
        for it, where in ((one, f"{name}'s session"), (bound, f"{name}'s buffers")):
            object.__setattr__(it, "run", self._watch(it.run, where))
        return Bucket(rows, one, bound)

    def _watch(self, run: Callable[..., Any], where: str) -> Callable[..., Any]:
        def watched(arrays: dict[str, Array]) -> Any:
            self.ran.append((where, len(arrays["image"])))
            return run(arrays)

        return watched


@pytest.mark.parametrize(
    ("rows", "runs"),
    [
        (1, [("one's", 1)]),
        (2, [("four's", 4)]),
        (4, [("four's", 4)]),
        (9, [("four's", 4), ("four's", 4), ("one's", 1)]),
    ],
)
@pytest.mark.parametrize(("height", "where"), [(9, "buffers"), (5, "session")])
def test_a_batch_is_filled_up_to_the_smallest_bucket_that_holds_it(
    session: Session, rows: int, runs: list[tuple[str, int]], height: int, where: str
) -> None:
    """Pictures of the buffers' shape go through these, others are run by the same session."""
    watched = Watched(session)
    batch = {"image": np.random.default_rng(0).integers(0, 256, (rows, height, 7, 3), np.uint8)}
    answer = watched.buckets.run(batch)
    assert watched.ran == [(f"{whose} {where}", size) for whose, size in runs]
    assert np.array_equal(answer["class_index"], session.run(batch)["class_index"])


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (
            lambda it: (*it, TensorSpec("boxes", "float32", (it[0].shape[0], "found", 4))),
            r"'boxes' has a size \(found\)",
        ),
        (lambda it: (*it, TensorSpec("boxes", "float32", (it[0].shape[0], "?", 4))), r"'boxes' has a size \(\?\)"),
        (lambda it: (*it, TensorSpec("word", "string", (it[0].shape[0],))), "texts have no place"),
    ],
    ids=["a size of its own", "a size without a name", "texts"],
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
    assert [bucket.bound for bucket in prepare(free, Openings(free), (1,), golden, passport).buckets] == [None]
    with pytest.raises(ProviderError, match=rf"^enable_cuda_graph: .*{words}.*; leave enable_cuda_graph out"):
        prepare(like(free, options=GRAPHS), Openings(free), (1,), golden, passport)


def test_a_graph_is_not_replayed_once_its_buffers_are_others(
    session: Session, golden: tuple[samples.Sample, ...], passport: Passport, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare(like(session, options=GRAPHS), Openings(session), (2,), golden, passport).run
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
        assert prepare(asked, Openings(session), (1, 2), golden, passport).sizes == (1, 2)
        return
    with pytest.raises(ProviderError, match=words):
        prepare(asked, Openings(session), (1, 2), golden, passport)


def test_a_bucket_that_does_not_give_the_golden_answers_is_refused(
    session: Session, golden: tuple[samples.Sample, ...], passport: Passport
) -> None:
    other = dataclasses.replace(session)
    run = other.run
    object.__setattr__(other, "run", lambda arrays: {name: array[::-1] for name, array in run(arrays).items()})
    with pytest.raises(BundleError, match="golden samples"):
        prepare(session, lambda: other, (1, 8), golden, passport)
