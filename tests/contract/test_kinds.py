"""Every kind of input walks from training to an answer by HTTP, and all forms of a sample are answered alike."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from deploy import Predictor
from deploy.errors import InputError
from deploy.placement import SHAPE_OPERATORS
from deploy.server.dataplane import DataPlane
from deploy.server.protocol.messages import DATATYPES
from deploy.server.rest.app import create_app
from stages import discover, export, package, train, verify
from stages.dataset import Dataset
from stages.recipe import Recipe, TrainConfig, VerifyConfig, use
from stages.result import PackageResult
from stages.train.weights import load_graph
from tests.contract.kinds import KINDS, Kind, dataset
from tests.rehearsal.plugin import Rehearsal


@dataclass(frozen=True)
class Walked:
    kind: Kind
    data: Dataset
    samples: Any
    packaged: PackageResult

    @property
    def tolerance(self) -> float:
        return 100 * self.packaged.verified.passport.noise["probabilities"]


@pytest.fixture(scope="module", params=KINDS)
def walked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    kind = KINDS[request.param]
    name = request.param.replace(" ", "-")
    data, samples = dataset(name, kind)
    recipe = Recipe(
        name=name,
        data=use("digits"),  # never loaded: the dataset is given
        input=kind.input,
        model=kind.model,
        task=use("classify"),
        train=TrainConfig(epochs=3, batch_size=16, lr=5e-3, device="cpu", threads=1),
        verify=VerifyConfig(rows=200, max_batch=16, budget_s=1, witness=2),
    )
    run = tmp_path_factory.mktemp(name)
    exported = export.run(recipe.export, train.run(recipe, data, run / "train"), run / "export")
    verified = verify.run(recipe.verify, exported, data, run / "verify")
    assert verified, verified.passport.failures()
    return Walked(kind, data, samples, package.run(recipe.package, verified, data, run / "package"))


@pytest.fixture(scope="module")
def predictor(walked: Walked) -> Iterator[Predictor]:
    with Predictor.load(walked.packaged.bundle, threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def client(walked: Walked) -> Iterator[TestClient]:
    plane = DataPlane(workers=1)
    plane.add(Predictor.load(walked.packaged.bundle, threads=1))
    with TestClient(create_app(plane)) as made:
        yield made


def test_every_kind_has_a_problem_here_or_is_of_one_task_only() -> None:
    assert {kind.input.name for kind in KINDS.values()} == set(discover.found("inputs")) - {"history"}


def test_it_learns_and_the_predictor_answers_as_the_trained_graph(walked: Walked, predictor: Predictor) -> None:
    graph = load_graph(walked.packaged.verified.exported.trained)
    raw = walked.data.test.inputs[:20]
    with torch.inference_mode():
        expected = graph(torch.from_numpy(raw))[0].numpy()
    assert walked.packaged.verified.metrics["accuracy"] > 0.6
    (name,) = (spec.name for spec in predictor.info.input.tensors)
    found = predictor.infer({name: raw})["probabilities"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=walked.tolerance)
    single = [predictor.predict(sample).probabilities for sample in walked.samples[:20]]
    np.testing.assert_allclose(np.stack(single), expected, rtol=0, atol=walked.tolerance)


def test_all_forms_of_a_sample_are_answered_alike(walked: Walked, predictor: Predictor, tmp_path: Any) -> None:
    sample = walked.samples[3]
    first, *others = walked.kind.forms(sample)
    expected = predictor.predict(first).probabilities
    for other in others:
        np.testing.assert_allclose(predictor.predict(other).probabilities, expected, rtol=0, atol=walked.tolerance)
    for data in walked.kind.files(sample).values():
        (tmp_path / "sample").write_bytes(data)
        found = predictor.predict(tmp_path / "sample").probabilities
        np.testing.assert_allclose(found, expected, rtol=0, atol=walked.tolerance)


def test_a_batch_and_many_are_answered_as_each_alone(walked: Walked, predictor: Predictor) -> None:
    samples = walked.samples[:5]
    alone = [predictor.predict(sample).probabilities for sample in samples]
    for together in (predictor.predict(samples), predictor.predict_many(samples)):
        for found, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(found.probabilities, expected, rtol=0, atol=walked.tolerance)


def test_what_is_no_sample_is_refused_in_words(walked: Walked, predictor: Predictor) -> None:
    for payload, words in walked.kind.wrong:
        with pytest.raises(InputError, match=words):
            predictor.predict(payload)


def test_http_answers_files_json_and_tensors_as_the_predictor(
    walked: Walked, predictor: Predictor, client: TestClient
) -> None:
    sample = walked.samples[7]
    expected = predictor.predict(sample).to_dict()
    plain = sample if isinstance(sample, str) else sample.tolist()
    files = walked.kind.files(sample)
    bodies: list[dict[str, Any]] = [
        {"json": plain},
        {"json": {predictor.info.input.tensors[0].name: plain}},
        *({"content": data, "headers": {"Content-Type": media}} for media, data in files.items()),
        *({"files": {"file": data}} for data in files.values()),
    ]
    if not predictor.kind.texts:
        bodies += [{"json": base64.b64encode(data).decode()} for data in files.values()]
    for body in bodies:
        answer = client.post("/predict", **body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["label"] == expected["label"]
        assert found["probability"] == pytest.approx(expected["probability"], abs=walked.tolerance)
    several = client.post("/predict", json=[plain, plain]).json()["results"]
    assert [one["label"] for one in several] == [expected["label"]] * 2


def test_http_infer_answers_as_the_predictor(walked: Walked, predictor: Predictor, client: TestClient) -> None:
    raw = walked.data.test.inputs[7:9]
    spec = predictor.info.input.tensors[0]
    tensor = {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": raw.shape, "data": raw.ravel().tolist()}
    answer = client.post(f"/v2/models/{predictor.info.name}/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    found = {output["name"]: np.reshape(output["data"], output["shape"]) for output in answer.json()["outputs"]}
    expected = predictor.infer({spec.name: raw})
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], rtol=0, atol=walked.tolerance)


def test_http_refuses_in_words(walked: Walked, client: TestClient) -> None:
    for payload, _ in walked.kind.wrong:
        if isinstance(payload, bytes):
            answer = client.post("/predict", content=payload)
            assert answer.status_code == 400
            assert answer.json()["error"]
    empty = client.post("/predict", content=b"")
    assert empty.status_code == 400
    assert "--data-binary @" in empty.json()["error"]


def test_the_openapi_document_has_the_forms_of_the_kind(walked: Walked, client: TestClient) -> None:
    content = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    taken = {media for media in walked.kind.files(walked.samples[0]) if not media.startswith("image/")}
    assert {"application/json", "multipart/form-data"} | taken <= set(content)


def test_the_card_shows_a_call(walked: Walked, predictor: Predictor) -> None:
    assert f"predictor.predict({predictor.kind.example})" in (walked.packaged.bundle / "README.md").read_text()


def test_rehearsal_all_but_shape_arithmetic_runs_on_cuda(walked: Walked, cuda_rehearsal: Rehearsal) -> None:
    placed = cuda_rehearsal.placement_of(walked.packaged.bundle / "model.onnx")
    elsewhere = {node.split()[1] for node, provider in placed.items() if provider != "CUDAExecutionProvider"}
    assert len(placed) > len(elsewhere)
    assert elsewhere <= SHAPE_OPERATORS
