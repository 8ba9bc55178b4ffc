"""Volumes walk the whole way: NIfTI in, NIfTI out, of any size. (Pictures do so in tests/contract.)"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from deploy import Predictor
from deploy.outputs.volume_mask import NIFTI, VolumeMask
from deploy.server.dataplane import DataPlane
from deploy.server.rest.app import create_app
from stages import export, package, train, verify
from stages.dataset import Dataset, Split
from stages.recipe import Recipe, TrainConfig, VerifyConfig, use
from stages.split import dataset

nibabel: Any = pytest.importorskip("nibabel", reason="needs the extra 'volumes'")


def balls() -> Dataset:
    """Bright balls in noise."""
    generator = np.random.default_rng(0)
    z, y, x = np.mgrid[:8, :9, :10]
    splits = []
    for rows in (48, 4, 12):
        centres = generator.uniform(2, 7, (3, rows, 1, 1, 1))
        masks = ((z - centres[0]) ** 2 + (y - centres[1]) ** 2 + (x - centres[2]) ** 2 < 6).astype(np.uint8)
        light = 60 + 120 * masks + generator.normal(0, 10, masks.shape)
        splits.append(Split(light.clip(0, 255).astype(np.uint8), masks))
    train_, validation, test = splits
    return dataset("balls", ("depth", "height", "width"), ("other", "ball"), "generated", (train_, validation, test))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return balls()


@pytest.fixture(scope="module")
def folder(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe(
        name="balls",
        data=use("digits"),  # never loaded: the dataset is given
        input=use("volume", depth=0, height=0, width=0, mean=(0.3,), std=(0.2,)),
        model=use("unet3d", width=2, levels=2),
        task=use("segment", flip=True),
        train=TrainConfig(epochs=8, batch_size=8, lr=2e-2, precision="fp32", device="cpu", threads=1),
        verify=VerifyConfig(rows=40, max_batch=8, budget_s=0, witness=0),
    )
    run = tmp_path_factory.mktemp("balls")
    trained = train.run(recipe, data, run / "train")
    assert trained.metrics["dice"] > 0.8
    exported = export.run(recipe.export, trained, run / "export")
    verified = verify.run(recipe.verify, exported, data, run / "verify")
    assert verified, verified.passport.failures()
    return package.run(recipe.package, verified, data, run / "package").bundle


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Iterator[Predictor]:
    with Predictor.load(folder, threads=1) as loaded:
        yield loaded


def nifti(volume: np.ndarray, affine: np.ndarray) -> bytes:
    data: bytes = nibabel.Nifti1Image(volume, affine).to_bytes()
    return data


def test_a_nifti_file_is_answered_by_one_in_its_place(predictor: Predictor, data: Dataset, tmp_path: Path) -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-9, -8, -7)
    (tmp_path / "ball.nii").write_bytes(nifti(data.test.inputs[0], affine))
    result = predictor.predict(tmp_path / "ball.nii")
    assert isinstance(result, VolumeMask)
    assert (result.mask == data.test.targets[0]).mean() > 0.9
    answer = nibabel.Nifti1Image.from_bytes(gzip.decompress(result.to_file(like=tmp_path / "ball.nii")))
    assert np.array_equal(answer.affine, affine)
    assert np.array_equal(np.asarray(answer.dataobj), result.mask)
    assert result.draw(tmp_path / "ball.nii").size == result.draw().size


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 2), (5, 17, 4), (16, 8, 9)])
def test_volumes_of_any_size_have_a_mask_of_that_size(predictor: Predictor, shape: tuple[int, ...]) -> None:
    result = predictor.predict(np.full(shape, 90, np.uint8))
    assert result.mask.shape == shape
    assert result.probabilities.shape == (2, *shape)
    assert np.isfinite(result.probabilities).all()


def test_the_server_answers_nifti_where_it_is_asked_for(predictor: Predictor, folder: Path, data: Dataset) -> None:
    plane = DataPlane(workers=1)
    plane.add(Predictor.load(folder, threads=1))
    body = gzip.compress(nifti(data.test.inputs[1], np.eye(4)))
    expected = predictor.predict(data.test.inputs[1])
    with TestClient(create_app(plane)) as client:
        file = client.post("/predict", content=body, headers={"Accept": NIFTI})
        plain = client.post("/predict", content=body)
    assert file.headers["content-type"] == NIFTI
    assert file.content == expected.to_file()
    assert plain.json()["areas"] == expected.areas()
