"""Whatever discovery finds walks the whole way: one step of training to an answer by HTTP, all equal."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch

from deploy import Predictor, bundle
from deploy.placement import SHAPE_OPERATORS
from stages import discover, export, package, settings, train, verify
from stages.dataset import Dataset, Split
from stages.recipe import Recipe
from stages.result import PackageResult
from stages.train.weights import load_graph
from tests.rehearsal.plugin import Rehearsal

ROWS = {"train": 64, "validation": 8, "test": 48}
NO_WITNESS = {"inceptiontime"}  # onnx's numpy evaluator leaves out the padding of a MaxPool over one axis, and fails
NO_REHEARSAL = {"lstm", "gru"}  # ONNX Runtime's recurrent kernels load cuDNN when they are made


@dataclass(frozen=True)
class Walk:
    recipe: Recipe
    dataset: Dataset
    packaged: PackageResult


def shortened(dataset: Dataset) -> Dataset:
    """The first rows of every split, under a digest of their own."""

    def first(split: Split, rows: int) -> Split:
        return Split(split.inputs[:rows], split.targets[:rows])

    parts = {name: first(getattr(dataset, name), rows) for name, rows in ROWS.items()}
    info = dataclasses.replace(dataset.info, digest="5" * 64, sizes={name: len(part) for name, part in parts.items()})
    return Dataset(info, **parts)


def small_data(recipe: Recipe, root: Path) -> list[str]:
    """What a recipe's data must be told to be found, and to be small."""
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # they have no Chinese characters
    return {
        "image_folder": [f"data.path={root / 'pictures'}"],
        "mnist": ["data.validation=0" if recipe.train.batch_size == 3 else "data.validation=50"],
        "plate_characters": [f"data.fonts={fonts}", "data.characters=AB", "data.train_per_class=32"],
        "brain_lobes": ["data.train_per_lobe=20", "data.test_per_lobe=8"],
    }.get(recipe.data.name, [])


def walked() -> Iterator[Any]:
    """Every recipe; those that differ from another one in data and numbers only, and the large nets, in the matrix."""
    seen = set()
    for name, found in discover.found("recipes").items():
        recipe = discover.recipe(name)
        parts = (recipe.input.name, recipe.model.name, recipe.task.name, recipe.data.name == "image_folder")
        again = parts in seen or found.module.endswith("recipes_classics")
        seen.add(parts)
        yield pytest.param(name, marks=pytest.mark.matrix if again else ())


@pytest.fixture(scope="module", params=walked())
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, generated_data: Path) -> Walk:
    recipe = discover.recipe(request.param)
    recipe = settings.apply(recipe, small_data(recipe, generated_data))
    short = ["train.epochs=1", f"train.batch_size={ROWS['train']}", "train.device=cpu"]
    witness = 0 if recipe.model.name in NO_WITNESS else 8
    recipe = settings.apply(recipe, [*short, f"verify.witness={witness}", "verify.budget_s=2"])
    dataset = shortened(discover.call("data", recipe.data, generated_data))
    run = tmp_path_factory.mktemp(recipe.name)
    trained = train.run(recipe, dataset, run / "train")
    exported = export.run(recipe.export, trained, run / "export")
    verified = verify.run(recipe.verify, exported, dataset, run / "verify")
    assert verified, verified.passport.failures()
    return Walk(recipe, dataset, package.run(recipe.package, verified, dataset, run / "package"))


@pytest.fixture(scope="module")
def predictor(walk: Walk) -> Iterator[Predictor]:
    with Predictor.load(walk.packaged.bundle) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def raw(walk: Walk) -> np.ndarray:
    """The first test row, as a batch of one."""
    return np.asarray(walk.dataset.test.inputs[0])[None]


@pytest.fixture(scope="module")
def expected(walk: Walk, raw: np.ndarray) -> dict[str, np.ndarray]:
    """What the trained torch graph answers."""
    graph = load_graph(walk.packaged.verified.exported.trained)
    names = [tensor.name for tensor in graph.task.output.tensors]
    with torch.inference_mode():
        return {name: value.numpy() for name, value in zip(names, graph(torch.from_numpy(raw)), strict=True)}


def agree(found: dict[str, Any], expected: dict[str, np.ndarray], noise: dict[str, float]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        array = np.asarray(found[name])
        assert array.shape == value.shape, name
        if value.dtype.kind == "f":
            np.testing.assert_allclose(array, value, rtol=0, atol=100 * noise[name], err_msg=name)
        else:
            np.testing.assert_array_equal(array, value, err_msg=name)


def test_the_predictor_answers_as_the_trained_graph(
    walk: Walk, predictor: Predictor, raw: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    name = predictor.info.input.tensors[0].name
    agree(predictor.infer({name: raw}), expected, walk.packaged.verified.passport.noise)


def test_http_answers_as_the_trained_graph(walk: Walk, raw: np.ndarray, expected: dict[str, np.ndarray]) -> None:
    from starlette.testclient import TestClient

    from deploy.server.dataplane import DataPlane
    from deploy.server.rest.app import create_app

    plane = DataPlane()
    plane.add(Predictor.load(walk.packaged.bundle))
    spec = walk.packaged.verified.exported.input.tensors[0]
    request = {
        "inputs": [
            {
                "name": spec.name,
                "datatype": {"uint8": "UINT8", "float32": "FP32", "int32": "INT32"}[spec.dtype],
                "shape": list(raw.shape),
                "data": raw.ravel().tolist(),
            }
        ]
    }
    with TestClient(create_app(plane)) as client:
        answer = client.post(f"/v2/models/{walk.recipe.name}/infer", json=request)
    assert answer.status_code == 200, answer.text
    outputs = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answer.json()["outputs"]}
    agree(outputs, expected, walk.packaged.verified.passport.noise)


def test_every_row_alone_or_among_others_is_decided_alike(walk: Walk, predictor: Predictor) -> None:
    rows = [np.asarray(walk.dataset.test.inputs[i]) for i in range(6)]
    together = predictor.predict_many(rows)
    alone = [predictor.predict(row) for row in rows]
    assert [answer.to_dict().keys() for answer in together] == [answer.to_dict().keys() for answer in alone]
    assert [answer.index for answer in together] == [answer.index for answer in alone]


def test_rehearsal_all_but_shape_arithmetic_runs_on_cuda(walk: Walk, cuda_rehearsal: Rehearsal) -> None:
    if walk.recipe.model.name in NO_REHEARSAL:
        pytest.skip("recurrent kernels need cuDNN, which the rehearsal has not")
    for name in ("model.onnx", "pre.onnx", "net.onnx"):
        placed = cuda_rehearsal.placement_of(walk.packaged.bundle / name)
        elsewhere = {node.split()[1] for node, provider in placed.items() if provider != "CUDAExecutionProvider"}
        assert len(placed) > len(elsewhere)
        assert elsewhere <= SHAPE_OPERATORS, name


def test_the_bundle_says_where_it_comes_from(walk: Walk) -> None:
    manifest = bundle.load(walk.packaged.bundle).manifest
    assert manifest.name == walk.recipe.name
    assert manifest.provenance["recipe"]["model"]["name"] == walk.recipe.model.name
    assert manifest.provenance["data"]["licence"]
    assert manifest.cut is not None
