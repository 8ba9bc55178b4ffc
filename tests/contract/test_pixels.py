"""The same picture files through training's own evaluation, the Predictor and a live server: equal answers."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deploy import Predictor
from stages.data.image_folder import Pictures
from stages.dataset import Split
from stages.train.evaluate import outputs
from stages.train.weights import load_graph
from tests.deploy.server.test_serve import server


def picture(colour_data: Any, row: int) -> Image.Image:
    return Image.fromarray(colour_data.test.inputs[row])


def rotated(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side, to be shown upright
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)


def sixteen_bit(image: Image.Image, path: Path) -> None:
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(path)


def half_transparent(image: Image.Image, path: Path) -> None:
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    clear.save(path)


FORMATS: dict[str, Callable[[Image.Image, Path], None]] = {
    "rgb.png": lambda image, path: image.save(path),
    "photo.jpg": lambda image, path: image.save(path, quality=90),
    "cmyk.jpg": lambda image, path: image.convert("CMYK").save(path),
    "grey.png": lambda image, path: image.convert("L").save(path),
    "grey.jpg": lambda image, path: image.convert("L").save(path),
    "rgba.png": half_transparent,
    "palette.png": lambda image, path: image.convert("P", palette=Image.Palette.ADAPTIVE, colors=16).save(path),
    "palette.gif": lambda image, path: image.convert("P").save(path),
    "bilevel.png": lambda image, path: image.convert("1").save(path),
    "sixteen.png": sixteen_bit,
    "rotated.jpg": rotated,
    "lossy.webp": lambda image, path: image.save(path, quality=80),
    "plain.bmp": lambda image, path: image.save(path),
    "plain.tiff": lambda image, path: image.save(path),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, colour_data: Any) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for row, (name, save) in enumerate(FORMATS.items()):
        save(picture(colour_data, row), folder / name)
    return [folder / name for name in FORMATS]


@pytest.fixture(scope="module")
def evaluated(files: list[Path], colour_run: Any) -> dict[str, np.ndarray]:
    """What training's own evaluation answers for the files."""
    graph = load_graph(colour_run.exported.trained)
    split = Split(Pictures(files, 3), np.zeros(len(files), np.int64))
    return outputs(graph, split, torch.device("cpu"))


def test_the_predictor_answers_as_evaluation(
    files: list[Path], evaluated: dict[str, np.ndarray], colour_bundle: Path, colour_run: Any
) -> None:
    with Predictor.load(colour_bundle) as predictor:
        from_paths = predictor.predict_many(files)
        from_bytes = [predictor.predict(path.read_bytes()) for path in files]
    for row, (one, other) in enumerate(zip(from_paths, from_bytes, strict=True)):
        assert one.index == other.index == evaluated["class_index"][row], files[row].name
        assert np.allclose(
            one.probabilities,
            evaluated["probabilities"][row],
            rtol=0,
            atol=100 * colour_run.passport.noise["probabilities"],
        ), files[row].name


def test_a_live_server_answers_as_the_predictor(files: list[Path], colour_bundle: Path) -> None:
    with Predictor.load(colour_bundle) as predictor, server(str(colour_bundle)) as (_, url):
        for path in files:
            with urllib.request.urlopen(urllib.request.Request(f"{url}/predict", data=path.read_bytes())) as answer:
                served = json.load(answer)
            expected = predictor.predict(path)
            assert served["label"] == expected.label, path.name
            assert served["probability"] == pytest.approx(expected.probability, abs=1e-6), path.name


def test_a_rotated_picture_is_the_upright_one(colour_data: Any, tmp_path: Path, colour_bundle: Path) -> None:
    picture(colour_data, 0).save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(colour_data, 0).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    with Predictor.load(colour_bundle) as predictor:
        upright, side = predictor.predict_many([tmp_path / "upright.png", tmp_path / "side.png"])
    assert np.array_equal(upright.probabilities, side.probabilities)
