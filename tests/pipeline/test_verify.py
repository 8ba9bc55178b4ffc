"""`pipeline verify` for ONNX files from elsewhere, and what it prints."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import Invoke

PICTURE = Path(__file__).parents[2] / "examples" / "embed" / "digit.png"
QUICK = ("--inputs", "image=9,7,3:0..255", "--set", "verify.rows=64", "--set", "verify.max_batch=8", "--budget", "0")


def test_a_file_against_itself_passes(invoke: Invoke, models: Path) -> None:
    done = invoke("verify", "a.onnx", "--against", "a.onnx", *QUICK)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "verify-a\n"
    assert "pass  form" in done.stderr
    assert "verified on cpu with 256 rows: a.onnx answers as its reference does" in done.stderr
    for name in ("passport.json", "findings.json", "report.html"):
        assert (models / "verify-a" / name).is_file()


def test_alone_it_is_held_against_itself_and_says_what_that_does_not_prove(invoke: Invoke, models: Path) -> None:
    done = invoke("verify", "a.onnx", *QUICK)
    assert done.exit_code == 0, done.stderr
    told = [line.strip() for line in done.stderr.splitlines()]
    assert "held against itself, in float64" in told
    unproven = [line for line in told if line.startswith("not proven: ")]
    assert [line.split(": ")[1] for line in unproven] == [
        "that the file is the network that was trained",
        "real data",
        "worst cases",
    ]
    page = (models / "verify-a" / "report.html").read_text()
    assert "held against itself, in float64" in page
    assert all(line.removeprefix("not proven: ").split("'")[0] in page for line in unproven)


def test_another_file_is_refused_with_exit_code_1(invoke: Invoke, models: Path) -> None:
    done = invoke("verify", "b.onnx", "--against", "a.onnx", *QUICK, "--out", "found")
    assert done.exit_code == 1
    assert "FAIL  noise of probabilities" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: verification failed: noise of probabilities")
    assert "Refused: on cpu this file does not answer" in (models / "found" / "report.html").read_text()


def test_the_passport_as_json_is_all_of_stdout(invoke: Invoke, models: Path) -> None:
    for model, code in (("a.onnx", 0), ("b.onnx", 1)):
        done = invoke("verify", model, "--against", "a.onnx", *QUICK, "--json")
        assert done.exit_code == code
        passport = json.loads(done.stdout)
        assert all(check["passed"] for check in passport["checks"]) is (code == 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.onnx", "--against", "b.onnx", "--torch", "nets:build"), "give one of --torch and --against"),
        (("none.onnx", "--against", "a.onnx"), "no such file"),
        (("a.onnx", "--against", "a.onnx", "--set", "train.epochs=1"), "no such key 'train'"),
        (("a.onnx", "--against", "a.onnx", "--set", "verify.row=1"), "did you mean 'rows'"),
        (("a.onnx", "--against", "a.onnx", "--inputs", "picture=3"), "the model has no input 'picture'"),
        (("runs/some", "--against", "a.onnx"), "are for an ONNX file"),
    ],
)
def test_a_wrong_question_is_one_line(invoke: Invoke, models: Path, arguments: tuple[str, ...], words: str) -> None:
    done = invoke("verify", *arguments)
    assert done.exit_code in (1, 2)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_bundle_is_certified_here_without_torch(colour_bundle: Path, workplace: Path) -> None:
    """The command as it runs on a machine that serves: torch and onnx cannot be imported at all."""
    shutil.copytree(colour_bundle, workplace / "bundle")
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'onnx', 'mlflow')))\n"
        "sys.argv = ['pipeline', 'verify', 'bundle']\n"
        "from pipeline.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "bundle\n"
    assert "recertification passed" in done.stderr


def test_a_damaged_bundle_is_not_certified(invoke: Invoke, colour_bundle: Path, workplace: Path) -> None:
    shutil.copytree(colour_bundle, workplace / "bundle")
    (workplace / "bundle" / "net.onnx").write_bytes(b"other")
    done = invoke("verify", "bundle")
    assert done.exit_code == 1
    assert "net.onnx: SHA-256 is" in done.stderr


def test_an_unsigned_bundle_is_refused_where_a_signature_is_asked_for(
    invoke: Invoke, colour_bundle: Path, workplace: Path, key_pair: tuple[Path, Path]
) -> None:
    _, public = key_pair
    shutil.copytree(colour_bundle, workplace / "bundle")
    for command in (("verify", "bundle"), ("predict", "bundle", str(PICTURE))):
        done = invoke(*command, "--trusted-key", str(public))
        assert done.exit_code == 1, command
        assert "model.sig" in done.stderr, command
        assert len(done.stderr.splitlines()) == 1, command
