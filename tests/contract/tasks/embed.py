import numpy as np

from stages.dataset import Dataset, Split
from stages.recipe import use
from stages.split import dataset
from tests.contract.tasks.problem import Problem, png

SIDE = 16
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 40), "blue": (50, 50, 230), "yellow": (220, 210, 30)}


def colours() -> Dataset:
    """Squares of four colours on noise; the fourth one comes in the test only."""
    generator = np.random.default_rng(0)
    splits = []
    for rows, classes in ((96, (0, 1, 2)), (24, (0, 1, 2)), (40, (2, 3))):
        targets = np.resize(classes, rows)
        pictures = generator.integers(0, 80, (rows, SIDE, SIDE, 3))
        pictures[:, 3:12, 4:13] += np.array(list(COLOURS.values()))[targets, None, None] * 2 // 3
        splits.append(Split(pictures.astype(np.uint8), targets.astype(np.int64)))
    train, validation, test = splits
    return dataset("coloured", ("height", "width", 3), tuple(COLOURS), "generated", (train, validation, test))


def right(result, data: Dataset) -> None:
    assert result.size == 8
    assert abs(np.linalg.norm(result.vector) - 1) < 1e-6
    assert abs(result.similarity(result) - 1) < 1e-12
    assert not result.vector.flags.writeable


PROBLEM = Problem(
    dataset=colours,
    input=use("image", height=SIDE, width=SIDE),
    model=use("resnet_small", width=4),
    task=use("embed", size=8, turned=True),
    sample=lambda data: data.test.inputs[3],
    file=png,
    right=right,
    least={"recall_at_1": 0.9},
    edges=lambda _: [np.zeros((1, 1, 3), np.uint8), np.full((3, 70, 3), 255, np.uint8)],
    wrong=[(b"no picture", "not a picture")],
    drawn=False,
)
