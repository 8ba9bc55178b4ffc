import numpy as np

from stages.dataset import Dataset
from stages.recipe import use
from tests.contract import kinds
from tests.contract.tasks.problem import Problem, png

PICTURES = kinds.KINDS["image"]


def right(result, data: Dataset) -> None:
    assert result.label in data.info.labels
    assert abs(result.probabilities.sum() - 1) < 1e-6
    assert result.to_dict()["top"][0]["label"] == result.label


PROBLEM = Problem(
    dataset=lambda: kinds.dataset("image", PICTURES)[0],
    input=PICTURES.input,
    model=PICTURES.model,
    task=use("classify"),
    sample=lambda data: data.test.inputs[3],
    file=png,
    right=right,
    least={"accuracy": 0.6},
    edges=lambda _: [np.zeros((1, 1, 3), np.uint8), np.full((3, 70, 3), 255, np.uint8)],
    wrong=[(b"no picture", "not a picture")],
    drawn=False,
)
