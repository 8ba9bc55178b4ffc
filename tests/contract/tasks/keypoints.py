import numpy as np

from stages.dataset import Dataset, Split
from stages.recipe import TrainConfig, use
from stages.split import dataset
from tests.contract.tasks.problem import Problem, png

HEIGHT, WIDTH = 24, 32


def discs() -> Dataset:
    """A bright and a dark disc on grey noise; the bright one is not known in each seventh picture."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    splits = []
    for rows in (160, 24, 32):
        points = np.stack([generator.uniform(0.15, 0.4, (rows, 2)), generator.uniform(0.6, 0.85, (rows, 2))], axis=1)
        points[: rows // 2] = points[: rows // 2, ::-1]  # either disc may be the upper left one
        pictures = 120 + generator.normal(0, 6, (rows, HEIGHT, WIDTH))
        for point, level in ((0, 250), (1, 10)):
            away = np.hypot(
                *(
                    points[:, point, axis, None, None] * side - grid
                    for axis, side, grid in ((0, WIDTH, x), (1, HEIGHT, y))
                )
            )
            pictures = np.where(away < 3, level, pictures)
        targets = points.astype(np.float32)
        targets[::7, 0] = np.nan
        splits.append(Split(pictures[..., None].clip(0, 255).astype(np.uint8), targets))
    train, validation, test = splits
    return dataset("discs", (HEIGHT, WIDTH, 1), ("bright", "dark"), "generated", (train, validation, test))


def right(result, data: Dataset) -> None:
    assert (result.width, result.height) == (WIDTH, HEIGHT)
    for point, true in zip(result.points, data.test.targets[3] * (WIDTH, HEIGHT), strict=True):
        assert np.hypot(*(true - (point.x, point.y))) < 2
    assert [point["name"] for point in result.to_dict()["points"]] == ["bright", "dark"]
    assert len(result.found) == 2
    assert result.draw().size == (WIDTH, HEIGHT)


PROBLEM = Problem(
    dataset=discs,
    input=use("image", height=HEIGHT, width=WIDTH, mean=(0.5,), std=(0.25,)),
    model=use("hourglass", width=8, stride=2, depth=2),
    task=use("keypoints", head="heatmap", translate=0.05),
    train=TrainConfig(epochs=15, batch_size=16, lr=5e-3, schedule="onecycle", warmup=0.2),
    sample=lambda data: data.test.inputs[3],
    file=png,
    right=right,
    least={"pck": 0.9, "found": 0.9},
    edges=lambda _: [np.zeros((1, 1, 1), np.uint8), np.full((3, 70, 1), 255, np.uint8)],
    wrong=[(b"no picture", "not a picture")],
)
