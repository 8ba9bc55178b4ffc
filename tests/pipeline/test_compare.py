"""Runs side by side, and row by row."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.answers import Answers, NoAnswersError, pair
from stages.verify.statistics import mcnemar
from tests.pipeline.conftest import Fakes, Invoke, Walked


def answers(decided: Any, targets: Any, test_sha256: str = "same", *, named: bool = True) -> Answers:
    class Task:
        names_targets = named

        def decide(self, outputs: dict[str, Any]) -> Any:
            return outputs["decided"], None

    return Answers(Task(), {"decided": np.array(decided)}, np.array(targets), test_sha256)


def test_rows_are_paired() -> None:
    targets = [0, 1, 2, 3, 4, 5]
    found = pair(answers([0, 1, 2, 0, 0, 0], targets), answers([0, 1, 0, 3, 4, 0], targets))
    assert (found.first_only, found.second_only, found.rows) == (1, 2, 6)
    assert found.difference == pytest.approx(1 / 6)
    assert found.p == mcnemar(2, 1)
    low, high = found.interval
    assert low < found.difference < high


def test_other_rows_are_not_paired() -> None:
    with pytest.raises(NoAnswersError, match="others"):
        pair(answers([0], [0]), answers([0], [0], "other"))


def test_answers_that_do_not_name_targets() -> None:
    with pytest.raises(NoAnswersError, match="no one decision"):
        answers([[0, 1], [1, 0]], [0, 1], named=False).right()


@pytest.fixture
def worse(walked: Walked) -> Iterator[Path]:
    """A copy of the real run which decides 20 rows more wrongly."""
    copy = walked.run.with_name("worse")
    shutil.copytree(walked.run, copy)
    path = copy / "verify" / "answers.npz"
    with np.load(path) as archive:
        outputs = dict(archive)
    targets = outputs["class_index"].copy()
    outputs["class_index"][:20] = (targets[:20] + 5) % 10
    np.savez(path, **outputs)
    yield copy
    shutil.rmtree(copy)


def lines_of(text: str) -> dict[str, list[str]]:
    """Return the rows of the tables by their first cell."""
    return {cells[0]: cells[1:] for cells in (re.split(r" {2,}", line) for line in text.splitlines()) if cells[0]}


@pytest.mark.parametrize("reference", ["{run}", "models:/lenet_digits@candidate"])
def test_two_runs(walked: Walked, at_walked: Invoke, worse: Path, reference: str) -> None:
    done = at_walked("compare", reference.format(run=walked.run.name), "worse", "--html", "pages/compared.html")
    assert done.exit_code == 0, done.stderr
    rows = lines_of(done.stdout)
    train = json.loads((walked.run / "train" / "result.json").read_text())
    accuracy = json.loads((walked.run / "verify" / "result.json").read_text())["metrics"]["accuracy"]
    assert rows["A"][0] == walked.run.name
    assert rows["test accuracy"][0].startswith(f"{accuracy:.4f} [")
    assert rows["verdict"] == ["passed", "passed"]
    assert rows["parameters"] == [f"{train['parameters']:,}"] * 2
    for name in ("noise ratio", "decisions changed", "weights", "model.onnx", "bundle", "latency of 1, CPU"):
        assert len(rows[name]) == 2
        assert "-" not in rows[name]
    only_a, only_it, difference, interval, p = rows["B"]
    assert int(only_a) + int(only_it) <= 20
    assert (difference.startswith("-"), float(p) < 0.05, " to " in interval) == (True, True, True)
    assert rows["nothing"] == []
    page = Path("pages/compared.html").read_text()
    assert "McNemar" in page
    assert "<svg" in page
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)[^\"']+", page)


def test_runs_that_are_not_verified(invoke: Invoke, fakes: Fakes) -> None:
    first, second = (Path(invoke("train", "--set", f"train.epochs={epochs}").stdout.strip()).name for epochs in (1, 2))
    done = invoke("compare", first, second)
    assert done.exit_code == 0, done.stderr
    rows = lines_of(done.stdout)
    assert rows["test accuracy"][0].startswith("0.9889 [0.97")
    assert rows["verdict"] == ["-", "-"]
    assert rows["B"][-1] == "A: it is not verified, so its answers are not known"
    assert rows["train.epochs"] == ["1", "2"]


def test_data_that_is_not_here(walked: Walked, at_walked: Invoke, worse: Path) -> None:
    path = worse / "train" / "result.json"
    path.write_text(path.read_text().replace('"name": "digits"', '"name": "mnist"'))
    done = at_walked("compare", walked.run.name, "worse", "--data-root", "nowhere")
    assert done.exit_code == 0, done.stderr
    assert "B: its data cannot be read (" in done.stdout


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["{run}"], "1 runs: expected 2 to 26"),
        (["{run}", "{run}"], "the same run as"),
        (["{run}", "none"], "no such run"),
    ],
)
def test_wrong_usage(walked: Walked, at_walked: Invoke, names: list[str], words: str) -> None:
    done = at_walked("compare", *(name.format(run=walked.run.name) for name in names))
    assert done.exit_code in (1, 2)
    assert words in done.stderr
