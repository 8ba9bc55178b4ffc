"""`pipeline package --onnx`: ONNX files from elsewhere become bundles, or there is a reason."""

import shutil
from pathlib import Path

import pytest

from deploy import Predictor, bundle, signing
from deploy.passport import load
from tests.pipeline.conftest import Invoke

QUICK = ("--inputs", "image=9,7,3:0..255", "--set", "verify.rows=64", "--set", "verify.max_batch=8")
QUICK = (*QUICK, "--set", "verify.budget_s=0")


def test_a_file_becomes_a_bundle_that_is_served(invoke: Invoke, models: Path, key_pair: tuple[Path, Path]) -> None:
    private, public = key_pair
    done = invoke("package", "--onnx", "a.onnx", *QUICK, "--sign", str(private), "--set", "package.version=7")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "package-a/bundle\n"
    assert "not proven: real data" in done.stderr
    assert "serve it: pipeline serve package-a/bundle" in done.stderr
    folder = models / "package-a" / "bundle"
    signing.check(folder, public)
    with Predictor.load(models / "package-a", threads=1) as predictor:
        assert (predictor.info.name, predictor.info.version) == ("a", "7")
        assert predictor.info.passport == load(models / "package-a" / "verify" / "passport.json")
    picture = models / "picture.png"
    shutil.copyfile(Path(__file__).parents[2] / "examples" / "embed" / "digit.png", picture)
    answered = invoke("predict", str(folder), str(picture), "--json")
    assert answered.exit_code == 0, answered.stderr
    assert '"outputs": {"probabilities": [' in answered.stdout


def test_a_refused_file_leaves_the_older_bundle(invoke: Invoke, models: Path) -> None:
    assert invoke("package", "--onnx", "a.onnx", *QUICK, "--name", "net", "--out", "out").exit_code == 0
    older = bundle.load(models / "out" / "bundle").digest
    done = invoke("package", "--onnx", "b.onnx", "--against", "a.onnx", *QUICK, "--name", "net", "--out", "out")
    assert done.exit_code == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: verification failed: noise of probabilities")
    assert last.endswith("no bundle was written; see out/verify")
    assert bundle.load(models / "out" / "bundle").digest == older


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--onnx", "none.onnx"), 1, "none.onnx: no such file"),
        (("--onnx", "text.onnx"), 1, "text.onnx: not an ONNX model"),
        (("--onnx", "a.onnx", "--name", "a b"), 2, "--name 'a b': expected letters, digits"),
        (("--onnx", "a.onnx", "--out", "taken"), 2, "taken/bundle: holds something that is no bundle"),
        (("--onnx", "a.onnx", "--sign", "none.pem"), 1, "--sign none.pem: no such file"),
        (("--onnx", "a.onnx", "--sign", "text.onnx"), 2, "no private key in PEM form"),
        (("--onnx", "a.onnx", "--inputs", "image=9,7:0..255"), 2, "the model takes uint8"),
        (("--onnx", "a.onnx", "--inputs", "image=9,7,3:0..256"), 2, "0..256 is no range of uint8"),
        (("--onnx", "a.onnx", "--inputs", "image=9,7,3:..-+2"), 2, "--inputs"),
        (("--onnx", "a.onnx", "--weights", "text.onnx"), 2, "--weights belongs to --torch"),
        (("--onnx", "a.onnx", "--set", "train.epochs=1"), 2, "no such key 'train'; choose from: package, verify"),
        (("--onnx", "a.onnx", "--set", "package.version=a/b"), 2, "package.version 'a/b'"),
        (("runs/some", "--onnx", "a.onnx"), 2, "give a run or --onnx, not both"),
        (("runs/some", "--name", "net"), 2, "are for an ONNX file; give one: pipeline package --onnx"),
    ],
)
def test_a_wrong_question_is_one_line(
    invoke: Invoke, models: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (models / "text.onnx").write_text("no model at all")
    (models / "taken" / "bundle").mkdir(parents=True)
    (models / "taken" / "bundle" / "mine.txt").write_text("keep me")
    done = invoke("package", *arguments)
    assert done.exit_code == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (models / "taken" / "bundle" / "mine.txt").read_text() == "keep me"
    assert not list(models.glob("package-*"))
