"""`pipeline embed`: the features of a run become a verified bundle, and files become vectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy import Predictor, bundle
from deploy.errors import UsageError
from deploy.neighbours import Neighbours
from pipeline import embedding
from stages import result
from stages.result import TrainResult
from tests.pipeline.conftest import Invoke, Walked


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some digits in a folder with a hidden file, a folder inside, and a file that is no picture."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    digits = load_digits()
    for row in range(12):
        place = folder / "more" if row > 8 else folder
        Image.fromarray((digits.images[row] * 15).astype(np.uint8)).save(place / f"{digits.target[row]}_{row}.png")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_files_become_vectors_by_the_features_of_a_run(walked: Walked, at_walked: Invoke, pictures: Path) -> None:
    arguments = ("embed", str(walked.run), str(pictures), "--out", "out/vectors.npz", "--runs", "embedded")
    done = at_walked(*arguments)
    assert done.exit_code == 1, done.stderr  # one of them is no picture
    assert done.stdout == "out/vectors.npz\n"
    assert "notes.txt: not a picture" in done.stderr
    (run,) = {path.resolve() for path in Path("embedded").glob("lenet_digits_features-*")}
    assert not Path("embedded/latest").exists()
    assert (run / ".lock").stat().st_mtime_ns == 0  # what is made aside is never the latest run
    source = result.load(TrainResult, walked.run)
    manifest = bundle.load(run / "package" / "bundle").manifest
    assert manifest.output.kind == "embedding"
    assert manifest.provenance["recipe"]["task"]["options"]["trained_by"] == source.weights_sha256
    assert manifest.variants["fp32"].passport

    kept = Neighbours.load("out/vectors.npz")
    assert [Path(name).name for name in kept.names[-3:]] == ["0_10.png", "1_11.png", "9_9.png"]
    assert len(kept) == 12
    with Predictor.load(run) as predictor:
        assert kept.model == predictor.info.digest
        found = kept.search(predictor.predict(pictures / "0_0.png"), 1)
    assert found[0].name == str(pictures / "0_0.png")
    assert found[0].cosine == pytest.approx(1)

    again = at_walked("embed", str(run), str(pictures / "0_0.png"), "--out", "one.npz", "--runs", "embedded")
    assert again.exit_code == 0, again.stderr  # by the embedding itself
    assert Neighbours.load("one.npz").model == kept.model
    refused = at_walked("embed", str(run), "--runs", "embedded")
    assert refused.exit_code == 2
    assert "answers vectors already" in refused.stderr


def test_what_is_missing_is_said(invoke: Invoke, workplace: Path) -> None:
    for arguments, words in (
        (("runs/x", "a.png"), "--out: say where"),
        (("runs/x", "--out", "v.npz"), "nothing to embed"),
    ):
        done = invoke("embed", *arguments)
        assert done.exit_code == 2
        assert words in done.stderr
    (workplace / "empty").mkdir()
    done = invoke("embed", "runs/x", "empty", "--out", "v.npz")
    assert "no files in that folder" in done.stderr
    done = invoke("embed", "runs/x")
    assert "no such run folder" in done.stderr


def test_a_bundle_without_a_run_that_answers_no_vectors_is_refused(colour_bundle: Path, workplace: Path) -> None:
    with pytest.raises(UsageError, match="a bundle that answers classes"):
        embedding.served(str(colour_bundle), unit=True, force=False, runs=workplace, data_root=workplace)


class Loaded:
    """A predictor of vectors, of texts, that counts letters."""

    class kind:  # noqa: N801
        texts = True
        file = ""

    class info:  # noqa: N801
        digest = "5f"

    def predict(self, payload: object) -> Any:
        from deploy.errors import InputError
        from deploy.outputs.embedding import Embedding

        if payload == "bad":
            raise InputError("bad: no text")
        return Embedding(np.array([len(str(payload)), 1], np.float32))

    def predict_many(self, payloads: Any) -> list[Any]:
        return [self.predict(payload) for payload in payloads]


def test_texts_are_embedded_in_their_order_around_bad_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "_CHUNK", 2)
    complaints: list[str] = []
    given = ["a", "bad", "ccc", "dd", "é"]
    loaded: Any = Loaded()
    assert embedding.embed(loaded, given, tmp_path / "v.npz", complaints.append) == 1
    assert complaints == ["Error: bad: no text"]
    with np.load(tmp_path / "v.npz") as archive:
        assert archive["names"].tolist() == ["a", "ccc", "dd", "é"]
        assert archive["vectors"][:, 0].tolist() == [1, 3, 2, 1]


def test_nothing_is_written_when_nothing_could_be_read(tmp_path: Path) -> None:
    from deploy.errors import InputError

    loaded: Any = Loaded()
    with pytest.raises(InputError, match="none of 1 inputs"):
        embedding.embed(loaded, ["bad"], tmp_path / "v.npz", lambda words: None)
    assert not (tmp_path / "v.npz").exists()
    loaded.kind = type("kind", (), {"texts": False, "file": "a picture"})
    with pytest.raises(UsageError, match="takes a picture"):
        embedding.embed(loaded, ["text"], tmp_path / "v.npz", lambda words: None)
