"""What may share a batch: texts of different lengths do, and no answer shows it; series of different lengths do not."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy import Predictor
from deploy.warmup import Serving
from stages import export, package, train, verify
from stages.recipe import Recipe, TrainConfig, VerifyConfig, use
from tests.contract.kinds import KINDS, dataset

TEXTS = st.lists(st.text("abcdefg GREAT,.!é中", max_size=70), min_size=1, max_size=6)


def packaged(name: str, folder: Any) -> tuple[Predictor, float]:
    kind = KINDS[name]
    data, _ = dataset(name, kind)
    recipe = Recipe(
        name="batched",
        data=use("digits"),  # never loaded: the dataset is given
        input=kind.input,
        model=kind.model,
        task=use("classify"),
        train=TrainConfig(epochs=1, batch_size=32, device="cpu", threads=1),
        verify=VerifyConfig(rows=100, max_batch=8, budget_s=0, witness=0),
    )
    exported = export.run(recipe.export, train.run(recipe, data, folder / "train"), folder / "export")
    verified = verify.run(recipe.verify, exported, data, folder / "verify")
    bundle = package.run(recipe.package, verified, data, folder / "package").bundle
    return Predictor.load(bundle, threads=1), 100 * verified.passport.noise["probabilities"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Predictor, float]]:
    made = packaged("text by word", tmp_path_factory.mktemp("text"))
    yield made
    made[0].close()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, more=st.integers(0, 60))
def test_padding_changes_no_answer(reader: tuple[Predictor, float], texts: list[str], more: int) -> None:
    predictor, tolerance = reader
    points = predictor.arrays(texts)["text"]
    wide = np.pad(points, ((0, 0), (0, more)))
    found = predictor.infer({"text": wide})["probabilities"]
    alone = [predictor.predict(text).probabilities for text in texts]
    np.testing.assert_allclose(found, np.stack(alone), rtol=0, atol=tolerance)
    together = [one.probabilities for one in predictor.predict(texts)]
    np.testing.assert_allclose(np.stack(together), np.stack(alone), rtol=0, atol=tolerance)


def test_texts_of_different_lengths_share_a_run(
    reader: tuple[Predictor, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, _ = reader
    runs: list[tuple[int, ...]] = []
    infer = predictor.infer
    monkeypatch.setattr(predictor, "infer", lambda arrays: (runs.append(arrays["text"].shape), infer(arrays))[1])
    predictor.predict_many(["a", "good film", "so very dull", "x" * 20])
    assert runs == [(3, 16), (1, 32)]


def test_a_long_text_with_brackets_is_a_text(reader: tuple[Predictor, float]) -> None:
    from deploy.server.protocol.over_http import Bounds
    from deploy.server.rest.payloads import Payload, read

    text = "[1, 2] great, " * 6000
    body = json.dumps({"text": [text, "[3]"]}).encode()
    found = read(Payload(body, is_json=True), reader[0], Bounds(10**7))
    assert found.is_batch
    assert np.array_equal(found.request.arrays["text"], reader[0].arrays([text, "[3]"])["text"])


def test_series_of_different_lengths_are_never_padded(tmp_path: Any) -> None:
    predictor, _ = packaged("series", tmp_path)
    generator = np.random.default_rng(0)
    series = [generator.normal(size=(2, length)).astype(np.float32) for length in (9, 12, 9, 30, 12)]
    with predictor:
        expected = [predictor.predict(one).probabilities for one in series]
        predictor.warm_up(Serving(lanes=1))
        asked = [predictor.submit(one) for one in series]
        found = [one.result().probabilities for one in asked]
    np.testing.assert_allclose(np.stack(found), np.stack(expected), rtol=0, atol=1e-6)
