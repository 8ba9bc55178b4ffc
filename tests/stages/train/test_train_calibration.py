import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch

from stages import export, train
from stages.recipe import ExportConfig, use
from stages.tasks.classify.calibration import Decision, likeliest_temperature
from stages.train.evaluate import evaluate
from stages.train.weights import load_graph
from tests.stages.train.conftest import FAST


def drawn(scores, seed=0):
    """Targets as likely as the softmax of the scores says."""
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(scores.softmax(1), 1, generator=generator)[:, 0].numpy()


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_scores_that_are_too_sure_are_found_out(temperature):
    true = 2 * torch.randn(20_000, 5, generator=torch.Generator().manual_seed(1))
    found = likeliest_temperature(true * temperature, drawn(true))
    assert found == pytest.approx(temperature, rel=0.05)


def test_it_is_the_minimum_that_lbfgs_finds():
    scores = 3 * torch.randn(3000, 4, generator=torch.Generator().manual_seed(2))
    targets = drawn(scores / 2)
    logarithm = torch.zeros((), dtype=torch.float64, requires_grad=True)
    rule = torch.optim.LBFGS([logarithm], max_iter=50, tolerance_grad=1e-12)

    def closure():
        rule.zero_grad()
        loss = torch.nn.functional.cross_entropy(scores.double() / logarithm.exp(), torch.from_numpy(targets))
        loss.backward()
        return loss

    rule.step(closure)
    assert likeliest_temperature(scores, targets) == pytest.approx(logarithm.exp().item(), rel=2e-3)


def test_few_rows_that_are_all_right_do_not_ask_for_certainty():
    scores = 4 * torch.eye(6)
    temperature = likeliest_temperature(scores, np.arange(6))
    assert (scores / temperature).softmax(1).max() < 0.95
    assert likeliest_temperature(-scores, np.arange(6)) == pytest.approx(100)  # worse than chance: as unsure as may be
    assert likeliest_temperature(torch.zeros(5, 3), np.zeros(5, np.int64)) > 0


def test_a_few_rows_that_are_nearly_all_right_change_nothing():
    """Smoothed targets alone would ask for T above 1 here, and make what is right less sure."""
    decision, scores = Decision(), 12 * torch.eye(60)
    scores[0] = torch.where(torch.arange(60) < 2, 12.0, 0.0)  # one that is in doubt
    assert likeliest_temperature(scores, np.arange(60)) > 1.2
    assert decision.fit(scores, np.arange(60)) == {"temperature": 1.0}
    unsure = scores / 4
    assert decision.fit(unsure, np.arange(60))["temperature"] < 0.5


def test_the_decision_is_that_of_the_scores_at_every_temperature():
    decision, scores = Decision(), torch.randn(50, 7)
    before, index = decision(scores)
    assert torch.equal(before, scores.softmax(1))
    decision.fit(scores, drawn(scores))
    after, again = decision(scores)
    assert torch.equal(index, again)
    assert torch.allclose(after, (scores / decision.temperature).softmax(1))


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    unsure = dataclasses.replace(FAST, task=use("classify", label_smoothing=0.3))
    return train.run(unsure, digits, tmp_path_factory.mktemp("calibrated") / "train")


def test_the_temperature_is_in_the_weights_and_figures_tell_before_and_after(trained, digits):
    graph = load_graph(trained)
    assert graph.post.temperature.item() == pytest.approx(trained.metrics["temperature"])
    assert trained.metrics["temperature"] < 0.9
    figures = evaluate(graph, digits.validation, torch.device("cpu"))
    best = trained.history[trained.best_epoch - 1]
    assert figures["log_loss"] < best["validation_log_loss"]
    assert figures["accuracy"] == best["validation_accuracy"]
    graph.post.temperature.fill_(1)
    uncalibrated = evaluate(graph, digits.test, torch.device("cpu"))
    assert uncalibrated["ece"] == trained.metrics["ece_uncalibrated"]
    assert uncalibrated["log_loss"] == trained.metrics["log_loss_uncalibrated"]


def test_it_is_exported_with_the_graph(trained, digits, tmp_path):
    exported = export.run(ExportConfig(), trained, tmp_path / "export")
    session = onnxruntime.InferenceSession(exported.model, providers=["CPUExecutionProvider"])
    rows = digits.test.inputs[:20]
    probabilities, _ = session.run(None, {"image": rows})
    graph = load_graph(trained)
    with torch.inference_mode():
        assert np.allclose(probabilities, graph(torch.from_numpy(rows))[0].numpy(), atol=1e-5)
        graph.post.temperature.fill_(1)
        assert not np.allclose(probabilities, graph(torch.from_numpy(rows))[0].numpy(), atol=1e-3)


def test_it_can_be_left_out(digits, tmp_path):
    recipe = dataclasses.replace(
        FAST, task=use("classify", calibrate=False), train=dataclasses.replace(FAST.train, epochs=1)
    )
    outcome = train.run(recipe, digits, tmp_path / "train")
    assert "post.temperature" not in load_graph(outcome).state_dict()
    assert "temperature" not in outcome.metrics
