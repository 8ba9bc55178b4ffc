import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.graph import build
from stages.recipe import Recipe, use
from stages.tasks.embed.task import embed

INFO = DataInfo("pictures", ("height", "width", 1), ("a", "b", "c"), "0" * 64, "generated", counts=(5, 5, 0))
RECIPE = Recipe("r", use("digits"), use("image", height=28, width=28), use("lenet5"), use("embed", size=4))


def test_the_answer_is_one_vector_of_length_1_a_row() -> None:
    task = embed(INFO, size=4)
    (tensor,) = task.output.tensors
    assert (task.output.kind, tensor.name, tensor.dtype, tensor.shape) == (
        "embedding", "embedding", "float32", ("batch", 4),
    )  # fmt: skip
    head = task.head(7).eval()
    (answer,) = task.postprocess()(head(torch.randn(5, 7)))
    assert torch.allclose(answer.norm(dim=1), torch.ones(5))


def test_features_as_they_are_need_their_own_size_and_may_keep_their_length() -> None:
    features = torch.rand(3, 6)
    assert torch.equal(embed(INFO, size=6, project=False, unit=False).head(6)(features), features)
    unit = embed(INFO, size=6, project=False).head(6)(features)
    assert torch.allclose(unit, features / features.norm(dim=1, keepdim=True))
    with pytest.raises(UsageError, match=r"set task\.size=6"):
        embed(INFO, size=5, project=False).head(6)


def test_features_at_many_places_are_averaged() -> None:
    maps = torch.rand(2, 3, 4, 5)
    head = embed(INFO, size=3, project=False, unit=False, takes="map").head(3)
    assert torch.allclose(head(maps), maps.mean(dim=(2, 3)))
    head = embed(INFO, size=8, project=False, unit=False, takes="pyramid").head(3)
    several = (torch.rand(2, 1, 8, 8), maps, torch.rand(2, 5, 2, 2))
    expected = torch.cat([maps.mean(dim=(2, 3)), several[2].mean(dim=(2, 3))], dim=1)
    assert torch.allclose(head(several), expected)


@pytest.mark.parametrize("options", [{"size": 0}, {"margin": -1.0}, {"sharpness": 0.0}, {"unit": False}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        embed(INFO, **options)


def test_there_are_centres_for_the_classes_that_are_trained_and_their_views() -> None:
    assert embed(INFO, size=4).only_training()(torch.randn(2, 4)).shape == (2, 2)
    assert embed(INFO, size=4, turned=True).only_training()(torch.randn(2, 4)).shape == (2, 16)
    vectors = torch.randn(2, 4)
    assert embed(INFO, size=4, loss="triplet").only_training()(vectors) is vectors


def test_what_cannot_be_learnt_is_refused_when_training_begins() -> None:
    for counts in ((5, 0, 0), ()):
        info = dataclasses.replace(INFO, counts=counts, labels=INFO.labels if counts else ())
        with pytest.raises(UsageError, match="pipeline embed RUN"):
            embed(info).only_training()
    with pytest.raises(UsageError, match="are not trained again"):
        embed(INFO, trained_by="0" * 64).only_training()


def test_class_centres_are_trained_and_not_served() -> None:
    graph = build(RECIPE, INFO)
    raw, targets = torch.randint(0, 256, (6, 28, 28, 1), dtype=torch.uint8), torch.arange(6) % 2
    graph.loss(graph.train().all_scores(graph.pre(raw)), targets).backward()
    grad = graph.only_training.centres.grad
    assert grad is not None
    assert grad.abs().max() > 0
    assert not [name for name in graph.served() if "centres" in name]
    build(RECIPE, INFO, training=False).load_state_dict(graph.served())


def test_metrics_of_classes_and_of_other_targets() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]] + 0.1 * np.arange(4, dtype=np.float32)[:, None]
    task = embed(INFO, size=4)
    assert task.metrics({"embedding": vectors}, np.array([0, 0, 1, 1])) == {"recall_at_1": 1.0, "recall_at_5": 1.0}
    (figure,) = task.metrics({"embedding": vectors}, np.zeros((4, 2, 2), np.uint8)).values()
    assert 1 <= figure <= 4
    assert task.decide({"embedding": vectors})[0].tolist() == [1, 0, 3, 2]
