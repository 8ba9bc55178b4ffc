"""Generated pictures and series that small networks learn in a few steps."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def colours(rows: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return 32 x 24 RGB pictures in four classes that differ by colour and by position, with some noise."""
    targets = generator.integers(0, 4, rows)
    pictures = generator.integers(0, 120, (rows, 32, 24, 3))
    for row, target in enumerate(targets):
        top, channel = (4, 18)[target // 2], (0, 2)[target % 2]
        pictures[row, top : top + 9, 5:19, channel] += generator.integers(25, 130)
    return np.clip(pictures, 0, 255).astype(np.uint8), targets


def series(rows: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return series of 24 steps and 3 channels in [-3, 3], in four classes: slow or quick waves, up or down."""
    targets = generator.integers(0, 4, rows)
    steps = np.arange(24)
    pace = np.array([0.25, 0.6])[targets // 2][:, None]
    wave = np.sin(pace * steps + generator.uniform(0, 6, (rows, 1))) + np.array([0.03, -0.03])[targets % 2][:, None] * (
        steps - 12
    )
    noisy = wave[:, :, None] * np.array([1, -0.5, 0.8]) + generator.normal(0, 0.3, (rows, 24, 3))
    return np.clip(noisy, -3, 3).astype(np.float32), targets
