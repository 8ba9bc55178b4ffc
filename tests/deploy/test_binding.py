"""Buffers and ids on the CPU: the same code with values that can be looked at."""

from pathlib import Path

import numpy as np
import pytest

from deploy.arrays import Array
from deploy.binding import Buffers, GraphIds
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


def test_an_id_belongs_to_the_buffers_it_was_given_for(session: Session) -> None:
    ids, one, two, other = GraphIds(), *(buffers_for(session, rows) for rows in (1, 2, 2))
    first, second = ids.assign(one), ids.assign(two)
    assert 0 < first < second < GraphIds().assign(one)  # another table gives none of them again
    ids.require(first, one)
    ids.require(second, two)
    for number, buffers in ((first, two), (second, one), (second, other), (second + 1, one), (0, one)):
        with pytest.raises(OnnxwayError, match=f"CUDA graph {number} was captured for other buffers"):
            ids.require(number, buffers)
