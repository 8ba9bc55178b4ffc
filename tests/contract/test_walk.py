"""Whatever discovery finds walks the whole way: a step of training to an answer by HTTP, all equal."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from deploy import Predictor, bundle
from deploy.placement import SHAPE_OPERATORS
from stages import discover, export, package, settings, train, verify
from stages.dataset import Dataset, Split
from stages.recipe import Recipe
from stages.result import PackageResult
from tests.contract.answers import Trained, alone, first_rows, inferred, served
from tests.rehearsal.plugin import Rehearsal

ROWS = {"train": 64, "validation": 8, "test": 48}
NO_WITNESS = {"inceptiontime"}  # onnx's numpy evaluator leaves out the padding of a MaxPool over one axis, and fails
ENOUGH = {"detect": ["train.epochs=20", "train.batch_size=8"]}  # one step finds no thing, and none could be compared
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
        "noisy_digits": ["data.validation=50"],
        "one_class_digits": ["data.validation=100"],
        "noisy_slices": ["data.patch=8", "data.patches=80"],
        "plate_characters": [f"data.fonts={fonts}", "data.characters=AB", "data.train_per_class=32"],
        "brain_lobes": ["data.train_per_lobe=20", "data.test_per_lobe=8"],
        "nuclei": ["data.tile=16", "data.stride=8"],
        "mni_tissue": ["data.size=8", "data.planes=6", "data.stride=4"],
        "digit_canvases": ["data.train=64", "data.validation=8", "data.test=48"],
        "drawn_faces": ["data.train=64", "data.validation=8", "data.test=48"],
    }.get(recipe.data.name, [])


def walked() -> Iterator[Any]:
    """Every recipe; those that differ from another one in data and numbers only, and the large nets, in the matrix.

    Of recipes for other tasks than classes those that differ from another one in the model only.
    """
    seen = set()
    for name, found in discover.found("recipes").items():
        recipe = discover.recipe(name)
        parts = (recipe.input.name, recipe.model.name, recipe.task.name, recipe.data.name == "image_folder")
        if recipe.task.name != "classify":
            parts = (recipe.task.name, recipe.data.name)
        again = parts in seen or found.module.endswith("recipes_classics")
        seen.add(parts)
        yield pytest.param(name, marks=pytest.mark.matrix if again else ())


@pytest.fixture(scope="module", params=walked())
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, generated_data: Path) -> Walk:
    recipe = discover.recipe(request.param)
    recipe = settings.apply(recipe, small_data(recipe, generated_data))
    short = ["train.epochs=1", f"train.batch_size={ROWS['train']}", "train.device=cpu"]
    witness = 0 if recipe.model.name in NO_WITNESS else 4
    short += ENOUGH.get(recipe.task.name, [])
    recipe = settings.apply(recipe, [*short, f"verify.witness={witness}", "verify.rows=100", "verify.budget_s=2"])
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
def trained(walk: Walk) -> Trained:
    return Trained(walk.packaged, walk.dataset)


def test_the_predictor_answers_as_the_trained_graph(predictor: Predictor, trained: Trained) -> None:
    trained.require_alike(predictor.infer(trained.feeds), trained.answers)


def test_http_answers_as_the_trained_graph(walk: Walk, trained: Trained) -> None:
    feeds, answers = first_rows(trained.feeds, 1), first_rows(trained.answers, 1)
    for client in served(walk.packaged):
        trained.require_alike(inferred(client, walk.recipe.name, feeds), answers)


def test_every_row_alone_or_among_others_is_answered_alike(predictor: Predictor, trained: Trained) -> None:
    trained.require_alike(alone(predictor, trained.feeds), predictor.infer(trained.feeds))


def test_rehearsal_all_but_shape_arithmetic_runs_on_cuda(walk: Walk, cuda_rehearsal: Rehearsal) -> None:
    if walk.recipe.model.name in NO_REHEARSAL:
        pytest.skip("recurrent kernels need cuDNN, which the rehearsal has not")
    manifest = bundle.load(walk.packaged.bundle).manifest
    halves = [manifest.cut.pre, manifest.cut.net] if manifest.cut else []
    for name in ("model.onnx", *halves):
        placed = cuda_rehearsal.placement_of(walk.packaged.bundle / name)
        elsewhere = {node.split()[1] for node, provider in placed.items() if provider != "CUDAExecutionProvider"}
        assert len(placed) > len(elsewhere)
        assert elsewhere <= SHAPE_OPERATORS, name


def test_the_bundle_says_where_it_comes_from(walk: Walk) -> None:
    manifest = bundle.load(walk.packaged.bundle).manifest
    assert manifest.name == walk.recipe.name
    assert manifest.provenance["recipe"]["model"]["name"] == walk.recipe.model.name
    assert manifest.provenance["data"]["licence"]
