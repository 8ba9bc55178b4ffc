"""kserve's own clients, REST and gRPC, unchanged, in an environment of their own: their SDK pins what it needs.

The environment is made by pip (451 MB, under a minute) in the folder that ONNXWAY_TEST_ENVIRONMENTS names, by default
in the user's cache, and kept there.
"""

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Predictor
from tests.deploy.conftest import plain
from tests.deploy.server.conftest import Address

KSERVE = "kserve==0.21.0"
CLIENT = Path(__file__).with_name("kserve_client.py")
INSTALL_S, ASK_S = 300, 60
PICTURES = np.stack([plain((9, 9, 250)), plain((250, 9, 9))])


@pytest.fixture(scope="module")
def interpreter() -> Path:
    """A Python that has kserve."""
    folder = Path(os.environ.get("ONNXWAY_TEST_ENVIRONMENTS", Path.home() / ".cache/onnxway-tests")) / KSERVE
    python, mark = folder / "bin/python", folder / "installed"
    if mark.exists():
        return python
    try:
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", KSERVE, "numpy"]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{KSERVE} cannot be installed here: {str(error.stderr).strip().splitlines()[-1:]}")
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{KSERVE} cannot be installed here: {error}")
    mark.touch()
    return python


@pytest.fixture(scope="module")
def seen(interpreter: Path, address: Address) -> dict[str, Any]:
    """What both clients made of the same questions."""
    command = [interpreter, CLIENT, address.http, address.grpc]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, env=os.environ | {"PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_health(seen: dict[str, Any], protocol: str) -> None:
    assert seen[protocol]["health"] == [True, True]
    assert seen[protocol]["ready"] == [True, False]


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("form", ["binary False", "binary True", "parameters"])
def test_infer_is_what_the_predictor_answers(
    seen: dict[str, Any], protocol: str, form: str, predictor: Predictor
) -> None:
    found = seen[protocol][form]
    expected = predictor.infer({"image": PICTURES})
    assert found["model"][0] == "colours"
    assert form == "parameters" or found["id"] == "7"
    assert found["dtypes"] == {name: array.dtype.name for name, array in expected.items()}
    assert found["shapes"] == {name: list(array.shape) for name, array in expected.items()}
    for name, array in expected.items():
        assert np.array_equal(np.asarray(found["arrays"][name], array.dtype), array.reshape(-1))


def test_some_outputs_and_some_as_bytes(seen: dict[str, Any]) -> None:
    assert seen["grpc"]["outputs"]["arrays"] == {"class_index": [2, 0]}
    assert seen["rest"]["outputs"]["arrays"] == seen["rest"]["binary True"]["arrays"]


@pytest.mark.parametrize(
    ("fault", "http_status", "grpc_status", "words"),
    [
        ("no model", 404, "NOT_FOUND", "model 'nothing': not served here"),
        ("wrong shape", 400, "INVALID_ARGUMENT", "got shape (2, 9, 7, 2), expected uint8 (batch, height, width, 3)"),
        ("wrong dtype", 400, "INVALID_ARGUMENT", "got datatype 'FP32', expected 'UINT8'"),
    ],
)
def test_errors(seen: dict[str, Any], fault: str, http_status: int, grpc_status: str, words: str) -> None:
    assert seen["rest"][fault][0] == http_status
    assert seen["grpc"][fault][0] == grpc_status
    assert words in seen["rest"][fault][1]
    assert words in seen["grpc"][fault][1]
