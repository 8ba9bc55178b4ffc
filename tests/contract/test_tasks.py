"""Every task walks from training to an answer by HTTP: each has a problem in `tests/contract/tasks/`."""

import html
import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from deploy import Predictor
from deploy.errors import InputError, UsageError
from deploy.placement import SHAPE_OPERATORS
from stages import discover, export, package, report, train, verify
from stages.dataset import Dataset
from stages.recipe import Recipe, use
from stages.report.answers import Answers
from stages.report.samples import drawer
from stages.result import PackageResult
from tests.contract.answers import Trained, alone, first_rows, inferred, served
from tests.contract.tasks.problem import Problem
from tests.rehearsal.plugin import Rehearsal

FOLDER = Path(__file__).parent / "tasks"
TASKS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "problem"))


@dataclass(frozen=True)
class Walked:
    problem: Problem
    data: Dataset
    packaged: PackageResult


@pytest.fixture(scope="module", params=TASKS)
def walked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    problem: Problem = importlib.import_module(f"tests.contract.tasks.{request.param}").PROBLEM
    data = problem.dataset()
    recipe = Recipe(
        name=request.param,
        data=use("digits"),  # never loaded: the dataset is given
        input=problem.input,
        model=problem.model,
        task=problem.task,
        train=replace(problem.train, device="cpu", threads=1, precision="fp32"),
        verify=problem.verify,
    )
    run = tmp_path_factory.mktemp(request.param)
    trained = train.run(recipe, data, run / "train")
    exported = export.run(recipe.export, trained, run / "export")
    verified = verify.run(recipe.verify, exported, data, run / "verify")
    assert verified, verified.passport.failures()
    return Walked(problem, data, package.run(recipe.package, verified, data, run / "package"))


@pytest.fixture(scope="module")
def predictor(walked: Walked) -> Iterator[Predictor]:
    with Predictor.load(walked.packaged.bundle, threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def client(walked: Walked) -> Iterator[TestClient]:
    yield from served(walked.packaged)


@pytest.fixture(scope="module")
def trained(walked: Walked) -> Trained:
    return Trained(walked.packaged, walked.data)


def test_every_task_has_a_problem_here() -> None:
    assert set(TASKS) == set(discover.found("tasks"))


def test_it_learns(walked: Walked) -> None:
    metrics = walked.packaged.verified.metrics
    assert all(np.isfinite(value) for value in metrics.values())
    for name, least in walked.problem.least.items():
        assert metrics[name] >= least, (name, metrics[name])


def test_the_predictor_answers_as_the_trained_graph(predictor: Predictor, trained: Trained) -> None:
    trained.require_alike(predictor.infer(trained.feeds), trained.answers)


def test_a_row_alone_is_answered_as_among_others(predictor: Predictor, trained: Trained) -> None:
    trained.require_alike(alone(predictor, trained.feeds), predictor.infer(trained.feeds))


def test_the_result_is_right_and_has_a_json_form(walked: Walked, predictor: Predictor) -> None:
    result = predictor.predict(walked.problem.sample(walked.data))
    walked.problem.right(result, walked.data)
    words = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(words) == result.to_dict()
    assert result.line()
    assert "\n" not in result.line()


def test_the_result_can_be_drawn_where_it_should(walked: Walked, predictor: Predictor) -> None:
    sample = walked.problem.sample(walked.data)
    result = predictor.predict(sample)
    if walked.problem.drawn:
        assert min(result.draw(sample).size) >= 1
        assert min(result.draw().size) >= 1
    else:
        with pytest.raises(UsageError, match="has no picture"):
            result.draw()


def test_a_file_is_answered_as_what_it_holds(walked: Walked, predictor: Predictor, tmp_path: Path) -> None:
    if walked.problem.file is None:
        pytest.skip("its samples come in no file")
    sample = walked.problem.sample(walked.data)
    (tmp_path / "sample").write_bytes(walked.problem.file(sample))
    assert predictor.predict(tmp_path / "sample").to_dict() == predictor.predict(sample).to_dict()


def test_many_are_answered_in_their_order(walked: Walked, predictor: Predictor) -> None:
    samples = [walked.problem.sample(walked.data), *walked.problem.edges(walked.data)]
    found = [result.to_dict() for result in predictor.predict_many(samples)]
    assert found == [predictor.predict(sample).to_dict() for sample in samples]


def test_what_is_no_sample_is_refused_in_words(walked: Walked, predictor: Predictor) -> None:
    for payload, words in walked.problem.wrong:
        with pytest.raises(InputError, match=words):
            predictor.predict(payload)


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def without_model(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if not key.startswith("model_")}


def test_http_predict_answers_as_the_predictor(walked: Walked, predictor: Predictor, client: TestClient) -> None:
    for sample in [walked.problem.sample(walked.data), *walked.problem.edges(walked.data)]:
        answer = client.post("/predict", json=plain(sample))
        assert answer.status_code == 200, answer.text
        assert without_model(answer.json()) == predictor.predict(sample).to_dict()
    if walked.problem.file is not None:
        sample = walked.problem.sample(walked.data)
        answer = client.post("/predict", content=walked.problem.file(sample))
        assert without_model(answer.json()) == predictor.predict(sample).to_dict()


def test_http_answers_a_file_where_it_is_asked_for(walked: Walked, predictor: Predictor, client: TestClient) -> None:
    media = predictor.answers.media
    sample = walked.problem.sample(walked.data)
    headers = {"Accept": media or "image/png"}
    answer = client.post("/predict", json=plain(sample), headers=headers)
    assert answer.status_code == 200
    declared = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    assert answer.headers["content-type"] == (media or "application/json")
    assert set(declared) == {"application/json", *([media] if media else [])}
    if media:
        assert answer.content == predictor.predict(sample).to_file()


def test_http_infer_answers_as_the_predictor(predictor: Predictor, client: TestClient, trained: Trained) -> None:
    feeds = first_rows(trained.feeds, 2)
    trained.require_alike(inferred(client, predictor.info.name, feeds), predictor.infer(feeds))


def test_a_server_that_is_warm_answers_as_one_that_is_not(walked: Walked, predictor: Predictor) -> None:
    sample = walked.problem.sample(walked.data)
    with Predictor.load(walked.packaged.bundle, threads=1) as other:
        answers = [future.result(60) for future in [other.submit(sample) for _ in range(3)]]
    expected = predictor.predict(sample)
    assert all(type(answer) is type(expected) for answer in answers)
    walked.problem.right(answers[-1], walked.data)


def test_rehearsal_all_but_shape_arithmetic_runs_on_cuda(walked: Walked, cuda_rehearsal: Rehearsal) -> None:
    if not walked.problem.rehearsed:
        pytest.skip("its kernels need libraries that the rehearsal has not")
    placed = cuda_rehearsal.placement_of(walked.packaged.bundle / "model.onnx")
    elsewhere = {node.split()[1] for node, provider in placed.items() if provider != "CUDAExecutionProvider"}
    assert len(placed) > len(elsewhere)
    assert elsewhere <= SHAPE_OPERATORS


def test_the_report_shows_the_answers(walked: Walked) -> None:
    verified = walked.packaged.verified
    trained = verified.exported.trained
    figures = importlib.import_module(f"stages.tasks.{trained.recipe.task.name}.figures").figures
    with np.load(verified.answers) as archive:
        answers = Answers(dict(archive), walked.data, trained.metrics, drawer(verified.exported.input.kind))
    parts = list(figures(answers))
    page = report.write(trained.folder.parent, walked.data).read_text()
    assert parts
    assert all(f"<h2>{html.escape(part.title)}</h2>" in page for part in parts)
