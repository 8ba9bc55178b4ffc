import base64
import io

import numpy as np

from stages.dataset import Dataset, Split
from stages.recipe import TrainConfig, use
from stages.split import dataset
from tests.contract.tasks.problem import Problem, png

SIDE = 24


def stripes() -> Dataset:
    """Slanted stripes in noise; half of the test pictures have a square in which they run the other way, or none."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    splits = []
    for rows, others in ((96, 0), (40, 0), (24, 24)):
        phase = generator.uniform(0, 2 * np.pi, (rows + others, 1, 1))
        light = 120 + 60 * np.sin((y + x) * 0.9 + phase)
        kinds = np.zeros((rows + others, SIDE, SIDE), np.uint8)
        for row in range(rows, rows + others):
            down, right = generator.integers(2, 12, 2)
            kinds[row, down : down + 10, right : right + 10] = 1 + row % 2
        light = np.where(kinds == 1, 120 + 60 * np.sin((y - x) * 0.9 + phase), light)
        light = np.where(kinds == 2, 250.0, light) + generator.normal(0, 5, light.shape)
        splits.append(Split(light.clip(0, 255).astype(np.uint8)[..., None], kinds))
    train, validation, test = splits
    labels = ("normal", "turned", "flat")
    return dataset("stripes", ("height", "width", 1), labels, "generated", (train, validation, test))


def right(result, data: Dataset) -> None:
    from PIL import Image

    truth = data.test.targets[-1]
    assert result.is_anomaly
    assert result.score > 1
    assert result.size == truth.shape == result.score_map.shape
    assert result.score == np.float32(result.score_map.max())
    assert result.score_map[truth > 0].mean() > 1.1 * result.score_map[truth == 0].mean()
    plain = result.to_dict()
    head, _, data_url = plain["score_map"].partition(",")
    assert head == "data:image/png;base64"
    percent = np.asarray(Image.open(io.BytesIO(base64.b64decode(data_url))))
    assert abs(percent - (100 * result.score_map).clip(0, 255)).max() < 1


PROBLEM = Problem(
    dataset=stripes,
    input=use("image", height=0, width=0, mean=(0.47,), std=(0.2,)),
    model=use("patches", width=4),
    task=use("anomaly", method="memory", vectors=32, window=3, flip=False),
    train=TrainConfig(epochs=6, batch_size=16, lr=1e-2, select="last"),
    sample=lambda data: data.test.inputs[-1],
    file=png,
    right=right,
    least={"auroc": 0.9, "detection_rate": 0.5, "pixel_auroc": 0.8},
    edges=lambda _: [
        np.zeros((1, 1, 1), np.uint8),
        np.full((3, 70, 1), 255, np.uint8),
        np.full((24, 24, 1), 128, np.uint8),
    ],
    wrong=[(b"no picture", "not a picture"), (np.zeros((4, 4, 1), np.float32), "expected uint8")],
)
