"""Buffers and ids on the CPU: the same code with values that can be looked at."""

from pathlib import Path

import numpy as np
import pytest

from deploy.arrays import Array
from deploy.binding import Buffers, Preprocessing
from deploy.errors import InputError, OnnxwayError
from deploy.providers import Session, open_session

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 9, 7, 3), np.uint8)


@pytest.fixture(scope="module")
def session(colours: Path) -> Session:
    return open_session(colours / "model.onnx", threads=1)


def buffers_for(session: Session, rows: int) -> Buffers:
    batch = {"image": PICTURES[:rows]}
    return Buffers(session, batch, session.run(batch))


def bits(arrays: dict[str, Array]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays.items()}


def test_buffers_answer_as_a_run_does(session: Session) -> None:
    buffers = buffers_for(session, 2)
    for start in (0, 2, 4, 0):
        batch = {"image": PICTURES[start : start + 2]}
        assert bits(buffers.run(batch)) == bits(session.run(batch))


def test_an_answer_outlives_the_next_run(session: Session) -> None:
    buffers = buffers_for(session, 2)
    first = buffers.run({"image": PICTURES[:2]})
    before = bits(first)
    buffers.run({"image": 255 - PICTURES[:2]})
    assert bits(first) == before
    for name, array in first.items():
        assert array.flags.owndata, name


def test_inputs_may_lie_in_memory_as_they_like(session: Session) -> None:
    buffers = buffers_for(session, 2)
    expected = bits(buffers.run({"image": PICTURES[::3]}))
    turned = np.ascontiguousarray(PICTURES[::3].transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    locked = PICTURES[::3].copy()
    locked.flags.writeable = False
    for array in (PICTURES[::3].copy(), turned, locked):
        assert bits(buffers.run({"image": array})) == expected


@pytest.mark.parametrize(
    "wrong",
    [PICTURES[:2].astype(np.int8), PICTURES[:2].astype(np.int64), PICTURES[:1], PICTURES[:2].transpose(0, 2, 1, 3)],
    ids=["kind", "width", "rows", "as many elements"],
)
def test_what_does_not_fit_is_refused_before_anything_is_copied(session: Session, wrong: Array) -> None:
    buffers = buffers_for(session, 2)
    with pytest.raises(InputError, match=r"input 'image' is .*, its buffer on the device is uint8 \(2, 9, 7, 3\)"):
        buffers.run({"image": wrong})


@pytest.fixture(scope="module")
def front(colours: Path) -> Preprocessing:
    return Preprocessing(open_session(colours / "pre.onnx", threads=1))


@pytest.fixture(scope="module")
def network(colours: Path) -> Session:
    return open_session(colours / "net.onnx", threads=1)


def test_pictures_of_all_sizes_are_preprocessed_where_the_network_reads_them(
    front: Preprocessing, network: Session
) -> None:
    jobs = [{"image": PICTURES[:2]}, {"image": PICTURES[2:3, :5, ::2]}, {"image": PICTURES[3:, ::2]}]
    halves = [front.run(arrays) for arrays in jobs]
    whole = {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
    buffers = Buffers(network, whole, network.run(whole))

    def feed() -> None:
        for arrays, start in ((jobs[2], 3), (jobs[0], 0), (jobs[1], 2)):
            front.write(arrays, buffers.address(front.name, start, len(arrays["image"])))

    assert bits(buffers.fed(feed)) == bits(network.run(whole))


@pytest.mark.parametrize(("start", "rows"), [(0, 5), (4, 1), (3, 2), (-1, 1)])
def test_nothing_is_written_beside_a_buffer(network: Session, start: int, rows: int) -> None:
    batch = {"preprocessed": np.zeros((4, 3, 8, 8), np.float32)}
    buffers = Buffers(network, batch, network.run(batch))
    assert buffers.address("preprocessed", 3, 1) - buffers.address("preprocessed", 0, 4) == 3 * 3 * 8 * 8 * 4
    with pytest.raises(OnnxwayError, match=f"rows {start} to {start + rows} .* outside its buffer of 4 rows"):
        buffers.address("preprocessed", start, rows)
