"""What goes into `samples.npz`: rows, edges and worst cases, each with the float64 truth."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deploy import bundle, samples
from deploy.errors import BundleError
from deploy.recertify import recertify
from stages import package, result
from stages.package.golden import golden_samples
from stages.recipe import PackageConfig
from stages.result import VerifyResult
from stages.train.weights import load_graph
from stages.verify.material import Material
from stages.verify.twin import Twin
from tests.stages.verify.identity import INPUT, Identity, faithful


@pytest.fixture(scope="module")
def kept(colour_bundle: Path) -> tuple[samples.Sample, ...]:
    return samples.load(colour_bundle / bundle.SAMPLES)


def test_every_sample_says_what_it_is_and_holds_the_truth(
    kept: tuple[samples.Sample, ...], colour_run: VerifyResult
) -> None:
    twin = Twin(load_graph(colour_run.exported.trained))
    kinds = {sample.note.partition(":")[0] for sample in kept}
    assert kinds == {"row", "edge", "worst"}
    for sample in kept:
        truth = twin.truth(sample.inputs)
        assert sample.reference["probabilities"].dtype == np.float64
        assert sample.rounded["probabilities"].dtype == np.float32
        for name, value in truth.items():
            np.testing.assert_allclose(sample.reference[name], value, rtol=1e-12)  # float32's own steps are 1e-7
            assert sample.outputs[name].shape == value.shape


def test_no_input_is_kept_twice(kept: tuple[samples.Sample, ...]) -> None:
    assert len({(sample.inputs["image"].tobytes(), sample.inputs["image"].shape) for sample in kept}) == len(kept)


def test_the_bundle_is_recertified_where_it_was_made(colour_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(colour_bundle, tmp_path / "bundle"))
    record = recertify(copy, threads=1)
    assert record, record.failures()
    ratio = next(c.value / c.limit for c in record.checks if c.name == "probabilities against float64")  # type: ignore[operator]
    assert ratio < 0.5  # 8 times the noise is allowed, 1 to 2 are common


@pytest.mark.parametrize("factor", [1.001, 0.999])
def test_the_truth_of_a_network_a_thousandth_away_is_told_apart(
    colour_run: VerifyResult, colour_data: Any, factor: float
) -> None:
    graph = load_graph(colour_run.exported.trained)
    with torch.no_grad():
        next(graph.net.parameters()).mul_(factor)
    material = Material.of(colour_data, colour_run.exported.input)
    golden = golden_samples(colour_run.exported.model, Twin(graph), material, colour_run.passport, 8)
    answers = [sample.outputs for sample in golden]
    checks = {check.name: check for check in samples.compare(golden, answers, colour_run.passport)}
    assert checks["probabilities"]
    assert not checks["probabilities against float64"]


def test_what_recertification_would_refuse_is_not_packaged(
    colour_run: VerifyResult, colour_data: Any, tmp_path: Path
) -> None:
    quiet = dataclasses.replace(colour_run.passport, noise={"probabilities": 1e-12})
    with pytest.raises(BundleError, match="'probabilities against float64' is"):
        package.run(PackageConfig(), dataclasses.replace(colour_run, passport=quiet), colour_data, tmp_path / "package")
    assert not (tmp_path / "package" / "bundle").exists()


def test_an_older_run_without_worst_inputs_is_packaged(
    colour_run: VerifyResult, colour_data: Any, tmp_path: Path
) -> None:
    shutil.copytree(colour_run.folder.parent, tmp_path / "run")
    older = result.load(VerifyResult, tmp_path / "run")
    older.worst.unlink()
    made = package.run(PackageConfig(), older, colour_data, tmp_path / "package")
    assert not any(sample.note.startswith("worst") for sample in samples.load(made.bundle / bundle.SAMPLES))


def test_one_row_at_least_is_answered_with_something(monkeypatch: pytest.MonkeyPatch, colour_run: VerifyResult) -> None:
    """Four rows are asked for, and a fifth is taken, as those are zeros."""
    rows = np.zeros((20, 3), np.float32)
    rows[7] = (0.25, 0.5, 1)
    monkeypatch.setattr("stages.package.golden.open_model", lambda *_: faithful)

    class Sure(Identity):
        def decide(self, outputs: Any) -> Any:
            return super().decide(outputs)[0], np.ones(len(outputs["scores"]))

    found = golden_samples(Path("model.onnx"), Sure(), Material(INPUT, {"x": rows}), colour_run.passport, 4)
    real = [sample.note for sample in found if sample.real]
    assert len(real) == 2  # what is equal is kept once
    assert real[-1] == "row: 7 of the test split"


Golden = Callable[[float], list[samples.Sample]]


@pytest.fixture(scope="module")
def golden(colour_run: VerifyResult, colour_data: Any) -> Golden:
    """A function from the noise that decisions are held against to the real samples."""
    twin = Twin(load_graph(colour_run.exported.trained))
    material = Material.of(colour_data, colour_run.exported.input)

    def made(noise: float) -> list[samples.Sample]:
        passport = dataclasses.replace(colour_run.passport, noise={"probabilities": noise})
        found = golden_samples(colour_run.exported.model, twin, material, passport, 8)
        return [sample for sample in found if sample.real]

    return made


def test_where_rows_are_left_out_others_take_their_place(golden: Golden) -> None:
    def margins(kept: list[samples.Sample]) -> list[float]:
        return [np.diff(np.sort(sample.outputs["probabilities"])[0, -2:]).item() for sample in kept]

    first = golden(1e-9)
    least = float(np.median(margins(first)))
    others = golden(least / (4 * 8))
    assert len(first) == len(others) == 8
    assert min(margins(first)) <= least < min(margins(others))


def test_that_no_row_can_be_one_is_said_in_words(golden: Golden) -> None:
    with pytest.raises(BundleError, match=r"none of \d+ test rows can be one, .* train longer"):
        golden(1.0)
