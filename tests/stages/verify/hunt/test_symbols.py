"""Searches on symbols: characters are exchanged for others of the data, and never moved between two of them."""

import numpy as np
import pytest

from deploy.bundle import Signature, TensorSpec
from stages.dataset import Array
from stages.verify.cases import edges
from stages.verify.hunt.budget import Budget
from stages.verify.hunt.evolve import evolve
from stages.verify.hunt.found import neighbours
from stages.verify.hunt.margins import narrow
from stages.verify.material import disturbed
from stages.verify.reference import Feeds, Outputs

TEXT = Signature("text", (TensorSpec("text", "int32", ("batch", "length"), (0, 0x10FFFF)),))
ALPHABET = np.array([97, 98, 0x4E2D])


class CountsA:
    """Decides whether at least five of a row's characters are `a`; the margin is how far from that it is."""

    input = TEXT

    def rounded(self, feeds: Feeds) -> Outputs:
        return {"many": (feeds["text"] == 97).sum(axis=1)}

    def decide(self, outputs: Outputs) -> tuple[Array, Array]:
        return outputs["many"] >= 5, np.abs(outputs["many"] - 4.5)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def texts(generator: np.random.Generator) -> Array:
    return generator.choice(ALPHABET, (8, 30)).astype(np.int32)


def test_what_is_made_of_texts_has_their_characters(texts: Array, generator: np.random.Generator) -> None:
    made = [neighbours({"text": texts}, TEXT, 3, generator)["text"], disturbed(texts, TEXT.tensors[0], generator)]
    made += [feeds["text"] for name, feeds in edges(TEXT, {"text": texts}) if "random" in name or "size 37" in name]
    found, before, after, _ = evolve(
        lambda f: (f["text"] == 97).sum(1) * 1.0, {"text": texts}, TEXT, range(60), generator
    )
    for array in (*made, found["text"]):
        assert array.dtype == np.int32
        assert set(np.unique(array)) <= set(ALPHABET.tolist())
    assert (after >= before).all()
    assert after.mean() > before.mean() + 5


def test_neighbours_begin_with_the_row_itself(texts: Array, generator: np.random.Generator) -> None:
    assert np.array_equal(neighbours({"text": texts}, TEXT, 3, generator)["text"][::4], texts)


def test_single_symbols_are_exchanged_too(generator: np.random.Generator) -> None:
    category = Signature("tensors", (TensorSpec("x", "int64", ("batch",)),))
    rows = {"x": np.array([1, 5, 9])}
    found, *_ = evolve(lambda feeds: feeds["x"] * 1.0, rows, category, range(20), generator)
    assert found["x"].tolist() == [9, 9, 9]


def test_the_border_between_two_texts_is_found(generator: np.random.Generator) -> None:
    texts = np.full((2, 40), 98, np.int32)
    texts[0] = 97
    found = narrow(CountsA(), TEXT, {"text": texts}, 0.1, Budget(60), 10, generator)  # type: ignore[arg-type]
    assert (-found.after).tolist() == [0.5, 0.5]
