import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import BundleError
from deploy.passport import Check, Passport
from deploy.samples import Sample, compare, load, replay, save

PASSPORT = Passport("0" * 64, (Check("parity", True),), {"y": 1e-3}, 8.0, 1000, ("cpu",), "now")
ALLOWED = 2 * 8.0 * 1e-3

SAMPLES = [
    Sample({"x": np.full((rows, 2), rows, np.uint8)}, {"y": np.ones((rows, 3), np.float32), "k": np.arange(rows)})
    for rows in (1, 2, 5)
]


def answering(offset: float = 0.0, *, k: int = 0, dtype: type = np.float32, drop: str = "") -> object:
    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = len(inputs["x"])
        made = {"y": np.full((rows, 3), 1 + offset, dtype), "k": np.arange(rows) + k}
        return {name: array for name, array in made.items() if name != drop}

    return run


def test_there_and_back(tmp_path: Path) -> None:
    save(tmp_path / "samples.npz", SAMPLES)
    for stored, sample in zip(load(tmp_path / "samples.npz"), SAMPLES, strict=True):
        for before, after in ((sample.inputs, stored.inputs), (sample.outputs, stored.outputs)):
            assert before.keys() == after.keys()
            for name, array in before.items():
                assert np.array_equal(array, after[name])
                assert array.dtype == after[name].dtype


def test_it_is_a_plain_npz_of_the_same_bytes_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.npz", SAMPLES)
    monkeypatch.setattr("time.time", lambda: 2e9)
    save(tmp_path / "b.npz", SAMPLES)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert {"0/in/x", "0/out/y", "2/out/k"} <= set(archive.files)


def test_no_samples_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no samples"):
        save(tmp_path / "samples.npz", [])


@pytest.mark.parametrize(
    "arrays",
    [{}, {"x": np.zeros(1)}, {"0/in/x": np.zeros(1)}, {"a/in/x": np.zeros(1)}, {"0/up/x": np.zeros(1)}],
    ids=str,
)
def test_another_npz_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "s.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="package the model again"):
        load(tmp_path / "s.npz")


def test_pickles_and_noise_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", **{"0/in/x": np.array([{}], object), "0/out/y": np.zeros(1)})
    for path in (tmp_path / "s.npz", tmp_path / "noise.npz"):
        if not path.exists():
            path.write_bytes(b"PK\x03\x04 nothing")
        with pytest.raises(BundleError, match="no golden samples"):
            load(path)
    with pytest.raises(BundleError, match="missing"):
        load(tmp_path / "none.npz")


def test_equal_answers_pass() -> None:
    checks = {check.name: check for check in replay(answering(), SAMPLES, PASSPORT)}  # type: ignore[arg-type]
    assert all(checks.values())
    assert checks["y"].value == 0
    assert checks["y"].limit == pytest.approx(ALLOWED)


@given(st.floats(0, 3), st.sampled_from([-1, 1]))
def test_the_limit_is_twice_the_limit_of_the_passport(factor: float, sign: int) -> None:
    offset = sign * factor * ALLOWED
    if abs(factor - 1) < 1e-3:
        return
    if factor < 1:
        assert replay(answering(offset), SAMPLES, PASSPORT)  # type: ignore[arg-type]
        return
    with pytest.raises(BundleError, match=r"output 'y' is .* \(rms\) from what is stored, allowed is 0\.016"):
        replay(answering(offset), SAMPLES, PASSPORT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (answering(k=1), "output 'k' differs in 8 of 8 values, none may; .*TF32"),
        (answering(np.nan), "output 'y' is not finite"),
        (answering(np.inf), "output 'y' is not finite"),
        (answering(drop="y"), "output 'y' is missing"),
        (answering(dtype=np.float64), r"output 'y' is float64 \(1, 3\), what is stored is float32 \(1, 3\)"),
    ],
)
def test_other_answers_are_refused(run: object, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        replay(run, SAMPLES, PASSPORT)  # type: ignore[arg-type]


def test_an_output_without_noise_is_refused() -> None:
    passport = Passport("0" * 64, (Check("parity", True),), {}, 8.0, 1000, ("cpu",), "now")
    with pytest.raises(BundleError, match="'y' has no noise in the passport"):
        replay(answering(), SAMPLES, passport)  # type: ignore[arg-type]


def referenced(sample: Sample, *, note: str = "row: 1", error: float = 0.0, own: float = 0.0) -> Sample:
    """The sample with a truth that its stored answers are `error` away from, and torch float32's `own` away."""
    exact = {"y": sample.outputs["y"].astype(np.float64) + error, "k": sample.outputs["k"]}
    rounded = {"y": (exact["y"] + own).astype(np.float32), "k": sample.outputs["k"]}
    return dataclasses.replace(sample, reference=exact, rounded=rounded, note=note)


def test_references_and_notes_go_there_and_back(tmp_path: Path) -> None:
    save(tmp_path / "samples.npz", [referenced(sample, note=f"edge: {n}") for n, sample in enumerate(SAMPLES)])
    stored = load(tmp_path / "samples.npz")
    assert [sample.note for sample in stored] == ["edge: 0", "edge: 1", "edge: 2"]
    assert not any(sample.real for sample in stored)
    assert stored[1].reference["y"].dtype == np.float64
    assert stored[1].rounded["y"].dtype == np.float32
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as archive:
        assert {"0/ref/y", "0/ref/k", "0/rounded/y", "0/note"} <= set(archive.files)


@pytest.mark.parametrize("key", ["0/ref", "0/note/more", "note", "0/note"])
def test_odd_entries_are_refused(tmp_path: Path, key: str) -> None:
    np.savez(tmp_path / "s.npz", **{"0/in/x": np.zeros(1), "0/out/y": np.zeros(1), key: np.zeros(2)})
    with pytest.raises(BundleError, match="no golden samples"):
        load(tmp_path / "s.npz")


def verdicts(run: object, samples: list[Sample]) -> dict[str, bool]:
    answers = [run(sample.inputs) for sample in samples]  # type: ignore[operator]
    return {check.name: check.passed for check in compare(samples, answers, PASSPORT)}


@pytest.mark.parametrize(("factor", "holds"), [(0.99, True), (1.01, False), (-1.01, False)])
def test_against_the_truth_the_limit_is_the_passports(factor: float, holds: bool) -> None:
    found = verdicts(answering(), [referenced(sample, error=factor * 8e-3) for sample in SAMPLES])
    assert found == {"y": True, "k": True, "y against float64": holds, "k against float64": True}


def test_decisions_must_be_those_of_the_truth() -> None:
    samples = [referenced(sample) for sample in SAMPLES]
    samples[1].reference["k"] = samples[1].reference["k"] + 1
    assert not verdicts(answering(), samples)["k against float64"]
    with pytest.raises(BundleError, match="'k against float64' differs in 2 of 8 values"):
        replay(answering(), samples, PASSPORT)  # type: ignore[arg-type]


def test_made_inputs_are_judged_by_their_own_noise_and_excuse_no_real_row() -> None:
    """Both are 10 times the noise away from the truth; float32 itself is 5 times away on the made one."""
    made = referenced(SAMPLES[2], note="worst: divergence", error=1e-2, own=5e-3)
    assert verdicts(answering(), [referenced(SAMPLES[0]), made])["y against float64"]
    assert not verdicts(answering(), [referenced(SAMPLES[0], error=1e-2), made])["y against float64"]
    coarse = referenced(SAMPLES[2], note="worst: divergence", error=1e-2, own=1e-3)
    assert not verdicts(answering(), [referenced(SAMPLES[0]), coarse])["y against float64"]


def test_where_the_truth_is_not_finite_nothing_is_asked() -> None:
    sample = referenced(SAMPLES[0], note="edge: infinite")
    for outputs in (sample.outputs, sample.reference, sample.rounded):
        outputs["y"] = np.array([[np.nan, 1, 1]], outputs["y"].dtype)
    assert all(verdicts(answering(), [sample]).values())
    sample.reference["y"][0, 1] = sample.rounded["y"][0, 1] = 2
    assert not verdicts(answering(), [sample])["y against float64"]
