"""A workplace of its own for each test (folder, MLflow database), stages that take no time, and one real run."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper

from deploy import bundle, files
from deploy.passport import Check, Passport
from pipeline.cli import cli
from stages import export, package, report, result, train, verify
from stages.dataset import Dataset
from stages.observer import Observer
from stages.recipe import Recipe
from stages.result import ExportResult, PackageResult, TrainResult, VerifyResult

COLOURS = Path(__file__).parents[1] / "deploy" / "fixtures" / "colours"

# Inside MLflow 3.17: on a loader of SQLAlchemy's, and on its own type hints. Named here, where MLflow is used.
_THIRD_PARTY = (
    "ignore:The ``noload`` loader strategy is deprecated",
    "ignore:.*Any type hint is inferred as AnyType",
)

Invoke = Callable[..., Result]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in _THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, made once (1.5 s) and copied for each test."""
    from pipeline import tracking

    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        tracking.client()
    return folder / "mlflow.db"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Path:
    """An empty current folder with an MLflow database; runs go to `runs` in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    _use(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def models(workplace: Path) -> Path:
    """`a.onnx`, and `b.onnx` with other weights, in the current folder."""
    shutil.copyfile(COLOURS / "model.onnx", workplace / "a.onnx")
    model = onnx.load(workplace / "a.onnx")
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 4:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.01, tensor.name))
    onnx.save(model, workplace / "b.onnx")
    return workplace


def _use(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    for name in ("MLFLOW_RUN_ID", "ONNXWAY_RUNS", "ONNXWAY_DATA"):
        patch.delenv(name, raising=False)


@pytest.fixture
def invoke(workplace: Path) -> Invoke:
    """`invoke("run", "lenet_digits")` in the workplace; the result has exit_code, stdout and stderr."""
    return lambda *arguments: CliRunner().invoke(cli, arguments, prog_name="pipeline")


@dataclass
class Fakes:
    """Which stages were made, and what happens in them: `before["export"] = f` calls f in that stage.

    `score` gives the validation accuracy of a recipe, or raises; `chosen` the recipe with what training chose.
    """

    made: list[str] = field(default_factory=list)
    before: dict[str, Callable[[Path], object]] = field(default_factory=dict)
    verdict: bool = True
    score: Callable[[Recipe], float] = lambda recipe: 0.9
    chosen: Callable[[Recipe], Recipe] = lambda recipe: recipe

    def enter(self, stage: str, out: Path) -> None:
        self.made.append(stage)
        (out / "started").write_text("")
        self.before.get(stage, lambda out: None)(out)

    def take(self) -> list[str]:
        """Return the stages made since the last call."""
        made, self.made = self.made, []
        return made


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Stages that write plausible results at once."""
    fakes = Fakes()

    def fake_train(recipe: Recipe, dataset: Dataset, out: Path, observer: Any) -> TrainResult:
        fakes.enter("train", out)
        weights = b"weights" * recipe.train.epochs
        files.write_bytes(out / "weights.safetensors", weights)
        epoch = {"epoch": 1.0, "lr": 0.1, "train_loss": 0.5, "seconds": 0.1, "validation_accuracy": fakes.score(recipe)}
        observer.metrics({name: value for name, value in epoch.items() if name != "epoch"}, 1)
        made = TrainResult(
            folder=out,
            recipe=fakes.chosen(recipe),
            data=dataset.info,
            weights_sha256=files.sha256(weights),
            metrics={"accuracy": 0.9889},
            history=(epoch,),
            best_epoch=1,
            parameters=7,
            seconds=0.1,
            device="cpu",
            environment={},
        )
        return result.save(made)

    def fake_export(config: Any, trained: TrainResult, out: Path, observer: Any) -> ExportResult:
        fakes.enter("export", out)
        manifest = bundle.load(COLOURS).manifest
        model = shutil.copyfile(COLOURS / "model.onnx", out / "model.onnx")
        assert manifest.cut is not None
        made = ExportResult(
            folder=out,
            trained=trained,
            sha256=files.sha256_file(model),
            input=manifest.input,
            output=manifest.output,
            cut=manifest.cut,
            opset=config.opset,
            ir_version=9,
            nodes=5,
            environment={},
        )
        return result.save(made)

    def fake_verify(config: Any, exported: ExportResult, dataset: Dataset, out: Path, observer: Any) -> VerifyResult:
        fakes.enter("verify", out)
        check = Check("noise", fakes.verdict, 1.0, config.limit, "noise ratio 1.0 of 8")
        made = VerifyResult(
            folder=out,
            exported=exported,
            passport=Passport(exported.sha256, (check,), {"scores": 1e-7}, config.limit, config.rows, ("cpu",), "now"),
            ratios={"scores": 1.0},
            metrics={"accuracy": 0.9889},
            rows=config.rows,
            flips=0,
            ties=0,
            seconds=0.1,
        )
        return result.save(made)

    def fake_package(
        config: Any,
        verified: VerifyResult,
        dataset: Dataset,
        out: Path,
        observer: Any,
        *,
        provenance: Any = None,
        sign: Path | None = None,
    ) -> PackageResult:
        fakes.enter("package", out)
        shutil.copytree(COLOURS, out / "bundle", dirs_exist_ok=True)
        name = verified.exported.trained.recipe.name
        digest = bundle.load(out / "bundle").digest
        return result.save(PackageResult(out, verified, name, config.version, digest, {"1": 0.1}))

    def fake_report(run: Path, dataset: Dataset | None = None) -> Path:
        page = run / "report.html"
        page.write_text("report")
        return page

    for module, fake in ((train, fake_train), (export, fake_export), (verify, fake_verify), (package, fake_package)):
        monkeypatch.setattr(module, "run", fake)
    monkeypatch.setattr(report, "write", fake_report)
    return fakes


class Untracked:
    """Stands for `tracking.Tracker` where a test is not about MLflow."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __enter__(self) -> "Untracked":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def logged(self, stage: str, key: str) -> bool:
        return True

    @contextmanager
    def stage(self, name: str) -> Iterator[Any]:
        log = Observer()
        log.run_id = ""
        log.finish = lambda result, key: None
        yield log

    def keep(self, result: object) -> None:
        pass

    def report(self, page: Path) -> None:
        pass


@pytest.fixture
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import tracking

    monkeypatch.setattr(tracking, "Tracker", Untracked)


@dataclass(frozen=True)
class Walked:
    """A real run of lenet_digits, one epoch, in a workplace of its own."""

    folder: Path
    output: Result

    @property
    def run(self) -> Path:
        return Path(self.folder, self.output.stdout.strip())


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Walked:
    """`pipeline run` with the real stages, once; tests may read it and add to its MLflow store."""
    folder = tmp_path_factory.mktemp("walked")
    shutil.copyfile(empty_store, folder / "mlflow.db")
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        _use(patch, folder)
        os.chdir(folder)
        try:
            output = CliRunner().invoke(
                cli, ["run", "--set", "train.epochs=1", "--device", "cpu", "--set", "verify.rows=400"]
            )
        finally:
            os.chdir(before)
    assert output.exit_code == 0, output.stderr
    return Walked(folder, output)


@pytest.fixture
def at_walked(walked: Walked, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """`invoke` in the workplace of the real run."""
    monkeypatch.chdir(walked.folder)
    _use(monkeypatch, walked.folder)
    return lambda *arguments: CliRunner().invoke(cli, arguments, prog_name="pipeline")
