"""One step: what it makes of whole poems, and that nothing is lost by going step by step."""

import dataclasses

import numpy as np
import pytest
import torch

from stages.deployed import Partial, deployed
from stages.graph import Graph, build
from stages.inputs.text import text
from stages.recipe import Recipe, use
from stages.tasks.generate.step import TEMPERATURES, by_token
from stages.train.evaluate import outputs
from stages.verify.material import Material
from stages.verify.twin import Twin
from tests.contract.tasks.generate import cycles

DATA = cycles()
MODELS = {"causal_cnn": {"channels": 8, "layers": 3}, "char_gru": {"embedding": 8, "hidden": 6, "layers": 2}}


@pytest.fixture(params=MODELS)
def graph(request: pytest.FixtureRequest) -> Graph:
    recipe = Recipe(
        name="poems",
        data=use("quatrains"),
        input=use("text", lowercase=False),
        model=use(request.param, **MODELS[request.param]),
        task=use("generate"),
    )
    torch.manual_seed(0)
    return build(recipe, DATA.info).eval()


def test_steps_cost_what_whole_poems_cost(graph: Graph) -> None:
    step = deployed(graph)
    assert isinstance(step, Partial)
    assert deployed(step) is step
    whole = outputs(graph, DATA.test, torch.device("cpu"))
    stepped = step.whole(Twin(graph).rounded, DATA.test)
    np.testing.assert_allclose(stepped["nats"], whole["nats"], rtol=0, atol=1e-5)
    assert graph.task.metrics(stepped, DATA.test.targets)["well_formed"] == 1
    assert sorted(set(stepped["temperature"].tolist())) == pytest.approx(TEMPERATURES)


def test_rows_are_steps_from_within_each_poem(graph: Graph) -> None:
    step = deployed(graph)
    feeds, behind = step.rows(DATA.test)
    assert len(feeds["state"]) == len(DATA.test)
    assert feeds["character"].dtype == np.int32
    begun = [place for place, row in enumerate(DATA.test.inputs) if feeds["character"][place] == row[0]]
    assert not feeds["state"][begun].any()  # nothing came before
    assert feeds["state"][[row for row in range(len(DATA.test)) if row not in begun]].any(axis=(1, 2)).all()
    found = Twin(graph).rounded(feeds)["probabilities"]
    characters = step.input.options["characters"]
    for row, (character, token) in enumerate(zip(feeds["character"], behind, strict=True)):
        text = "".join(map(chr, DATA.test.inputs[row]))
        assert chr(character) + characters[token] in text
    tokens = graph.pre(torch.from_numpy(DATA.test.inputs))
    logits = graph.head.logits(graph.net(tokens)[0]).softmax(dim=2).detach().numpy()
    assert all(np.abs(logits[row] - found[row]).max(axis=1).min() < 1e-6 for row in range(len(found)))


def test_material_is_one_step_a_sample_with_what_comes_next(graph: Graph) -> None:
    step = deployed(graph)
    material = Material.deployed(step, DATA)
    assert material.size == len(DATA.test)
    assert np.array_equal(material.targets, step.rows(DATA.test)[1])
    assert sum(len(feeds["state"]) for feeds in material.more(30, 8)) == 30


def test_characters_are_named_as_the_input_numbers_them() -> None:
    info = dataclasses.replace(DATA.info, alphabet="bAaB天")
    for options, expected in (
        ({"lowercase": False}, "bAaB天"),
        ({}, "bA天"),
        ({"size": 2}, "bA"),
        ({"alphabet": "天x"}, "天\ufffd"),
    ):
        pre = text(info, **options)
        assert by_token(pre, info.alphabet, pre.preprocessed_shape[1]) == "\0\ufffd" + expected


def test_the_decision_is_the_most_probable_character(graph: Graph) -> None:
    probabilities = np.array([[0.1, 0.6, 0.3], [0.5, 0.5, 0.0]], np.float32)
    decided, margins = deployed(graph).task.decide({"probabilities": probabilities})
    assert decided.tolist() == [1, 0]
    np.testing.assert_allclose(margins, [0.3, 0.0], atol=1e-7)


def test_unknown_characters_and_padding_are_answered(graph: Graph) -> None:
    twin = Twin(graph)
    state = np.zeros((3, *graph.net.state_shape), np.float32)
    points = np.array([0, ord("龍"), 0x10FFFF], np.int32)
    found = twin.truth({"character": points, "state": state})
    assert np.isfinite(found["probabilities"]).all()
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1)
    assert np.array_equal(found["probabilities"][1], found["probabilities"][2])  # both are unknown
