import base64
import io

import numpy as np

from stages.dataset import UNKNOWN, Dataset, Split
from stages.recipe import TrainConfig, use
from stages.split import dataset
from tests.contract.tasks.problem import Problem, png

LABELS = ("background", "disc", "bar")


def shapes() -> Dataset:
    """Bright discs and grey bars in noise; some samples hold nothing, and a corner of each nobody has marked."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:21, :26]
    splits = []
    for rows in (96, 12, 24):
        masks = np.zeros((rows, 21, 26), np.uint8)
        for mask in masks[2:]:
            down, right, bar = generator.integers(5, 15, 3)
            mask[bar : bar + 4] = 2
            mask[(y - down) ** 2 + (x - right) ** 2 < 16] = 1
        light = np.array([40, 220, 120])[masks] + generator.normal(0, 15, masks.shape)
        masks[:, -2:, -2:] = UNKNOWN
        splits.append(Split(light.clip(0, 255).astype(np.uint8)[..., None], masks))
    train, validation, test = splits
    return dataset("shapes", ("height", "width", 1), LABELS, "generated", (train, validation, test))


def right(result, data: Dataset) -> None:
    from PIL import Image

    truth = data.test.targets[3]
    known = truth != UNKNOWN
    assert result.mask.shape == truth.shape
    assert (result.mask == truth)[known].mean() > 0.9
    assert sum(result.areas().values()) == truth.size
    assert abs(result.probabilities.sum(axis=0) - 1).max() < 1e-5
    plain = result.to_dict()
    head, _, data_url = plain["mask"].partition(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data_url)))), result.mask)
    assert plain["areas"] == result.areas()


PROBLEM = Problem(
    dataset=shapes,
    input=use("image", height=0, width=0, mean=(0.3,), std=(0.3,)),
    model=use("unet", width=4, levels=3),
    task=use("segment", flip=True, brightness=0.1),
    train=TrainConfig(epochs=8, batch_size=16, lr=2e-2),
    sample=lambda data: data.test.inputs[3],
    file=png,
    right=right,
    least={"dice": 0.8, "iou": 0.7, "pixel_accuracy": 0.9},
    edges=lambda _: [
        np.zeros((1, 1, 1), np.uint8),
        np.full((3, 70, 1), 255, np.uint8),
        np.full((2, 1, 1), 128, np.uint8),
    ],
    wrong=[(b"no picture", "not a picture"), (np.zeros((4, 4, 1), np.float32), "expected uint8")],
)
