import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("orjson", reason="needs the extra 'serve'")

from deploy.bundle import TensorSpec
from deploy.errors import InputError
from deploy.server.protocol import json_text
from deploy.server.protocol.binary import to_bytes
from deploy.server.protocol.classes import read_count, top


def test_the_largest_first_with_labels() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
    assert top(scores, 2, ("red", "grün", "blue")).tolist() == [
        [b"0.700000:1:gr\xc3\xbcn", b"0.200000:2:blue"],
        [b"0.500000:0:red", b"0.250000:1:gr\xc3\xbcn"],
    ]
    assert top(scores, 9).shape == (2, 3)
    assert top(np.array([[[3, -1], [7, 7]]], np.int8), 3, ("a", "b")).tolist() == [[b"7:2", b"7:3", b"3:0"]]
    assert top(np.array([4, 5]), 1, ("a",)).tolist() == [[b"4:0:a"], [b"5:0:a"]]


@given(
    st.sampled_from(["int8", "uint8", "int64", "uint64", "float32"]).flatmap(
        lambda dtype: arrays.arrays(dtype, (2, 5), elements=arrays.from_dtype(np.dtype(dtype), allow_nan=False))
    ),
    st.integers(1, 6),
)
def test_indices_lead_to_the_largest_values(values: np.ndarray, count: int) -> None:
    made = top(values, count)
    assert made.shape == (2, min(count, 5))
    for row, words in zip(values, made, strict=True):
        indices = [int(one.partition(b":")[2]) for one in words]
        assert len(set(indices)) == len(indices)
        assert row[indices].tolist() == sorted(row.tolist(), reverse=True)[:count]
        if values.dtype.kind != "f":
            assert [int(one.partition(b":")[0]) for one in words] == row[indices].tolist()


def test_nan_is_never_the_largest() -> None:
    assert top(np.array([[np.nan, 1.0, np.inf]]), 2).tolist() == [[b"inf:2", b"1.000000:1"]]


def test_as_bytes_and_as_json() -> None:
    made = np.array([[b"a", b"bcd"]], object)
    assert to_bytes(made) == b"\1\0\0\0a\3\0\0\0bcd"
    assert json.loads(json_text.write({"data": json_text.numbers(made)})) == {"data": ["a", "bcd"]}


@pytest.mark.parametrize("value", [-1, 1.0, True, "3", 2**31, [3]])
def test_counts_are_whole_numbers(value: object) -> None:
    spec = TensorSpec("scores", "float32", ("batch", 3))
    assert (read_count(spec, None), read_count(spec, 0), read_count(spec, 5)) == (0, 0, 5)
    with pytest.raises(InputError, match="output 'scores': classification is "):
        read_count(spec, value)


@pytest.mark.parametrize("spec", [TensorSpec("y", "bool", ("batch", 3)), TensorSpec("y", "float32", ())])
def test_what_has_no_classes(spec: TensorSpec) -> None:
    with pytest.raises(InputError, match=r"output 'y': .* has no classes"):
        read_count(spec, 1)
