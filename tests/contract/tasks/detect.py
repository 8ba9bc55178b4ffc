import numpy as np

from stages.data.read.boxes import targets
from stages.dataset import Dataset, Split
from stages.recipe import TrainConfig, VerifyConfig, use
from stages.split import dataset
from tests.contract.tasks.problem import Problem, png

HEIGHT, WIDTH = 40, 48
MOST = 3


def blocks() -> Dataset:
    """Bright and dark blocks of 8 to 16 px on noise, some pictures without any."""
    generator = np.random.default_rng(0)
    splits = []
    for rows in (128, 16, 40):
        pictures = generator.integers(90, 160, (rows, HEIGHT, WIDTH, 1))
        boxes = []
        for picture in pictures:
            inside = []
            for column in generator.permutation(3)[: generator.integers(MOST + 1)]:  # side by side: none hides another
                width, height = generator.integers(8, 17), generator.integers(8, 17)
                x, y = 16 * column + generator.integers(17 - width), generator.integers(HEIGHT - height + 1)
                label = generator.integers(2)
                picture[y : y + height, x : x + width] += (90, -90)[label]
                inside.append((x, y, x + width, y + height, label))
            boxes.append(np.array(inside, np.float32).reshape(-1, 5))
        splits.append(Split(pictures.astype(np.uint8), targets([(WIDTH, HEIGHT)] * rows, boxes)))
    train, validation, test = splits
    return dataset("blocks", ("height", "width", 1), ("bright", "dark"), "generated", (train, validation, test))


def right(result, data: Dataset) -> None:
    assert (result.width, result.height) == (WIDTH, HEIGHT)
    things = data.test.targets[3, 1:]
    things = things[things[:, 4] >= 0]
    for thing in things:
        found = max(result.boxes, key=lambda box: -abs(np.array([box.x1, box.y1, box.x2, box.y2]) - thing[:4]).max())
        assert abs(np.array([found.x1, found.y1, found.x2, found.y2]) - thing[:4]).max() < 4
        assert found.label == data.info.labels[int(thing[4])]
    assert result.to_dict()["boxes"][0]["label"] == result.boxes[0].label
    assert result.draw().size == (WIDTH, HEIGHT)


PROBLEM = Problem(
    dataset=blocks,
    input=use("image", height=0, width=0, mean=(0.5,), std=(0.25,)),
    model=use("patches", width=8),
    task=use("detect", candidates=30, max_detections=6),
    train=TrainConfig(epochs=7, batch_size=8, lr=5e-3, schedule="onecycle", warmup=0.2),
    verify=VerifyConfig(rows=60, max_batch=16, budget_s=1, witness=2),
    sample=lambda data: data.test.inputs[3],
    file=png,
    right=right,
    least={"map50": 0.8},
    edges=lambda _: [np.zeros((1, 1, 1), np.uint8), np.full((3, 70, 1), 255, np.uint8)],
    wrong=[(b"no picture", "not a picture")],
)
