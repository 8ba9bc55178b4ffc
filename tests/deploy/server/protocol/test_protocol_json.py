import asyncio
import json
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from deploy.errors import InputError, TooLargeError

pytest.importorskip("orjson", reason="needs the extra 'serve'")

from deploy.server.protocol import json_text
from deploy.server.protocol.json_text import Numbers, numbers, parse, read_numbers, shape_of, write

FLOAT, BYTE = np.dtype(np.float32), np.dtype(np.uint8)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every list is long, and read in many pieces."""
    monkeypatch.setattr(json_text, "PIECE", 7)


def read(text: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    return read_numbers("x", Numbers(text.encode()), shape, dtype)


DTYPES = st.sampled_from(["bool", "uint8", "int8", "uint32", "int64", "uint64", "float16", "float32", "float64"])


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("separator", [",", ", ", " ,\n"])
@given(st.data(), DTYPES, st.booleans())
def test_a_long_list_is_read_as_a_short_one(separator: str, data: st.DataObject, dtype: str, nested: bool) -> None:
    array = data.draw(arrays(dtype, array_shapes(max_dims=4, max_side=4)))
    values = array.tolist() if nested else array.ravel().tolist()
    text = json.dumps(values, separators=(separator, ":"))
    found = read(text, array.shape, array.dtype)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")
    assert shape_of(Numbers(text.encode())) == np.shape(values)
    assert shape_of(values) == np.shape(values)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("text", "shape", "dtype", "words"),
    [
        ("[1,2,3,4,5,6,7,8,9]", (3, 4), BYTE, r"data has 9 values, its shape \[3, 4\] says 12"),
        ("[1,2,3,4,5,6,7,8,9]", (2**63, 2**63), BYTE, "data has 9 values"),
        ("[[1,2],[3,4],[5,6]]", (2, 3), BYTE, r"data is not nested as its shape \[2, 3\] says"),
        ("[[1,2],[3],[4,5,6]]", (3, 2), BYTE, "not nested"),
        ("[1,2,[3,4],[5,6]]", (3, 2), BYTE, "not nested"),
        ("[[[1,2,3,4,5,6]]]", (6,), BYTE, "not nested"),
        ("[[1,2,3],[4,5,6]", (2, 3), BYTE, "not nested"),
        ("[[1,2,3]],4,5,6]]", (2, 3), BYTE, "not nested"),
        ("[[]2,[3],[4],[5]]", (4, 1), BYTE, "not JSON"),
        ("[[],[3],[4],[5],[6]]", (5, 1), BYTE, "data has 4 values, .* says 5"),
        ("[1,2,3,4,5,,7,8,9]", (9,), BYTE, "not JSON"),
        ("[1,2,3,4,5,6,7,8,]", (9,), BYTE, "data has 8 values, .* says 9"),
        ("[1,2,3,4,5,6 7,8,9]", (8,), BYTE, "not JSON"),
        ("[1,2,3,4,5,06,7,8,9]", (9,), BYTE, "not JSON"),
        ("[1,2,3,4,5,6,7,8,9.0]", (9,), BYTE, "data holds float, expected int only"),
        ("[1,2,3,4,5,6,7,8,1e1]", (9,), BYTE, "data holds float"),
        ("[1,2,3,4,5,6,7,8,true]", (9,), BYTE, "data holds bool"),
        ("[1,2,3,4,5,6,7,8,true]", (9,), FLOAT, "data holds bool, expected float or int only"),
        ("[1,2,3,4,5,6,7,8,null]", (9,), FLOAT, "data holds NoneType"),
        ("[1,2,3,4,5,6,7,8,256]", (9,), BYTE, "values run from 8 to 256|values run from 256 to 256"),
        ("[1,2,3,4,5,6,7,8,-1]", (9,), BYTE, "values run from -1"),
        ("[1,2,3,4,5,6,7,8,18446744073709551615]", (9,), np.dtype(np.int64), "expected -9223372036854775808 to"),
        ("[1,2,3,4,5,6,7,8,1e39]", (9,), FLOAT, "a number that float32 cannot hold"),
        ("[1,2,3,4,5,6,7,8,1]", (9,), np.dtype(np.bool_), "data holds int, expected bool only"),
    ],
)
def test_a_long_list_is_read_as_strictly(text: str, shape: tuple[int, ...], dtype: np.dtype[Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(text, shape, dtype)
    assert len(str(caught.value)) < 1000


@pytest.mark.usefixtures("small_pieces")
def test_nan_and_infinity_are_read() -> None:
    found = read("[1.5, NaN, 2.5, Infinity, 3.5, -Infinity]", (6,), FLOAT)
    assert str(found.tolist()) == "[1.5, nan, 2.5, inf, 3.5, -inf]"


@pytest.mark.usefixtures("small_pieces")
@given(st.lists(st.sampled_from([*'[]{}",: 1e-.', "1,2,3,4,5", '"data":', "[[", "null"]), max_size=12))
def test_any_text_is_read_or_refused(parts: list[str]) -> None:
    text = "".join(parts).encode()
    try:
        found = parse(text)
    except InputError:
        return
    if not found.lists:
        assert found.value == json.loads(text)
    for long in found.lists.values():
        assert long.text in text


def test_long_lists_are_cut_out_and_short_ones_are_not() -> None:
    long = list(range(50_000))
    body = {"inputs": [{"name": "[", "shape": [50_000], "data": long}, {"data": [1]}], "parameters": {"data": long}}
    found = parse(json.dumps(body).encode())
    entry = found.value["inputs"][0]
    assert entry["name"] == "["
    assert entry["shape"] == [50_000]
    assert found.value["inputs"][1] == {"data": [1]}
    assert read_numbers("x", found.resolve(entry["data"]), (50_000,), np.dtype(np.int64)).tolist() == long
    assert len(found.lists) == 2
    assert found.resolve("other") == "other"
    assert found.resolve([1]) == [1]


def test_what_is_no_list_of_numbers_is_bounded() -> None:
    with pytest.raises(TooLargeError, match="over 1048576 bytes besides its lists of numbers"):
        parse(json.dumps({"id": "x" * 2**21}).encode())
    for item in ("x", {}, "]"):
        with pytest.raises(InputError, match=r"the list at byte 9 has a string or an object in it|not JSON"):
            parse(json.dumps({"data": [[1] * 50_000, item]}).encode())
    with pytest.raises(InputError, match="the list at byte 9 has no end in it"):
        parse(json.dumps({"data": [1] * 50_000}).encode()[:-3])
    with pytest.raises(InputError, match="not JSON"):
        parse(b"[" * 10_000)


def test_numbers_are_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.array([[0.1, np.nan, -np.inf], [1e-45, 3, 4], [5, 6, 7], [8, 9, 10]], np.float32).T
    for part, sent in [(4, array), (100, array), (4, array[:, 1:].copy()), (100, array[:, 1:])]:
        monkeypatch.setattr(json_text, "_NUMBERS", part)
        text = write({"data": numbers(sent)})
        again = np.array(json.loads(text)["data"], np.float32)
        assert np.array_equal(again, sent.ravel(), equal_nan=True)
    assert write(numbers(np.array([0.1], np.float32))) == b"[0.1]"  # as short as float32 can be told
    assert write(numbers(np.empty(0, np.uint8))) == b"[]"


def test_other_threads_run_while_a_long_list_is_read() -> None:
    """No single call holds the interpreter's lock for long: another thread gets it many times meanwhile."""
    text = json.dumps(np.random.default_rng(0).random(500_000).tolist()).encode()
    began, done, gaps = threading.Event(), threading.Event(), []

    def work() -> None:
        began.wait()
        read_numbers("x", Numbers(text), (500_000,), FLOAT)
        done.set()

    async def watch() -> None:
        began.set()
        last = time.perf_counter()
        while not done.is_set():
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    thread = threading.Thread(target=work)
    thread.start()
    asyncio.run(watch())
    thread.join()
    assert len(gaps) > 5  # one call for all of it would leave two or three
