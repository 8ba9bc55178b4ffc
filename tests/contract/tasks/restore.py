import numpy as np

from stages.data.read.low_dose import low_dose, pairs
from stages.dataset import Dataset, Split
from stages.recipe import TrainConfig, use
from stages.split import dataset
from tests.contract.tasks.problem import Problem, png


def discs() -> Dataset:
    """Bright discs on dark ground, in the noise of a low dose."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:20, :24]
    splits = []
    for rows in (96, 12, 24):
        centres = generator.uniform(5, 15, (2, rows, 1, 1))
        clean = np.where((y - centres[0]) ** 2 + (x - centres[1]) ** 2 < 20, 200, 40).astype(np.uint8)[..., None]
        noisy = low_dose(clean, 10, 20, generator)
        splits.append(Split(noisy, pairs(clean, noisy)))
    train, validation, test = splits
    return dataset("discs", ("height", "width", 1), (), "generated", (train, validation, test))


def right(result, data: Dataset) -> None:
    clean, given = (data.test.targets[3, i].astype(int) for i in range(2))
    restored = result.pixels.astype(int)
    assert restored.shape == given.shape
    assert np.square(restored - clean).mean() < 0.5 * np.square(given - clean).mean()
    assert result.to_dict()["picture"].startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(result.draw()), result.pixels[:, :, 0])


PROBLEM = Problem(
    dataset=discs,
    input=use("image", height=0, width=0),
    model=use("dncnn", depth=4, width=8),
    task=use("restore", flip=True),
    train=TrainConfig(epochs=12, batch_size=16, lr=1e-2),
    sample=lambda data: data.test.inputs[3],
    file=png,
    right=right,
    least={"psnr_gain": 3.0, "ssim": 0.3},
    edges=lambda _: [np.zeros((1, 1, 1), np.uint8), np.full((3, 70, 1), 255, np.uint8)],
    wrong=[(b"no picture", "not a picture")],
)
