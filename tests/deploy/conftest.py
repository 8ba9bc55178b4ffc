"""The small bundle of these tests (fixtures/make.py), loaded, copied or damaged."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy import Predictor

COLOURS = Path(__file__).parent / "fixtures" / "colours"


@pytest.fixture(scope="session")
def colours() -> Path:
    """A bundle that tells red, green and blue pictures apart; do not write into it."""
    return COLOURS


@pytest.fixture
def copied(colours: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be damaged."""
    return Path(shutil.copytree(colours, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def predictor(colours: Path) -> Iterator[Predictor]:
    with Predictor.load(colours, threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def blue_png() -> bytes:
    """A blue picture, 9 px high and 7 px wide, as a PNG file."""
    return png((0, 0, 255), (7, 9))


def png(colour: tuple[int, int, int], size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def plain(colour: tuple[int, int, int], height: int = 9, width: int = 7) -> np.ndarray:
    """Return a uint8 picture (height, width, 3) of one colour."""
    return np.full((height, width, 3), colour, np.uint8)
