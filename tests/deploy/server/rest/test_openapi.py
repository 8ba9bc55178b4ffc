"""The OpenAPI document, and schemathesis on it: no 5xx, nothing undeclared, nothing invalid let pass."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("orjson", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")

from deploy import Predictor
from deploy.server.dataplane import DataPlane
from deploy.server.options import ServerOptions
from deploy.server.repository import Repository
from deploy.server.rest import openapi, page
from deploy.server.rest.openapi import Shown
from tests.deploy.server.conftest import versioned
from tests.deploy.server.ops.kit import KEY, running, warm

if find_spec("schemathesis") is None:
    pytest.skip("needs schemathesis", allow_module_level=True)


@pytest.fixture(scope="module")
def dataplane(colours: Path, shelf: Path) -> Iterator[DataPlane]:
    def opened(folder: Path) -> Predictor:
        return Predictor.load(folder, threads=1)

    made = DataPlane(workers=1, repository=Repository(shelf, opened))
    made.add(opened(colours))
    made.add(opened(shelf / "colours-10"))
    yield made
    made.close()


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(path, method) for path, item in document["paths"].items() for method in item if method != "parameters"]


def test_the_document_names_what_is_served(dataplane: DataPlane, colours: Path, tmp_path: Path) -> None:
    document = json.loads(json.dumps(openapi.document(dataplane)))
    paths = set(document["paths"])
    assert {"/predict", "/v2/models/colours/infer", "/v2/models/colours/versions/10/predict"} <= paths
    inputs = document["paths"]["/v2/models/colours/infer"]["post"]["requestBody"]["content"]["application/json"]
    (tensor,) = inputs["schema"]["properties"]["inputs"]["prefixItems"]
    assert tensor["properties"]["datatype"] == {"const": "UINT8"}
    assert tensor["properties"]["shape"]["prefixItems"][3] == {"const": 3}
    two = DataPlane(workers=1)
    two.add(Predictor.load(colours, threads=1))
    two.add(Predictor.load(versioned(tmp_path / "b", colours, "other", "1"), threads=1))
    assert "/predict" not in openapi.document(two)["paths"]
    two.close()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    assert "http://" not in page.HTML
    assert "https://" not in page.HTML
    assert page.POLICY.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in page.POLICY


@pytest.mark.parametrize("locked", [False, True], ids=["open", "without a key"])
def test_schemathesis_finds_nothing(colours: Path, shelf: Path, tmp_path: Path, locked: bool) -> None:
    """Valid and invalid requests, at the bounds and by chance, on a real socket.

    What a schema cannot say (as many numbers as the shape tells, the bytes of a picture) makes valid ones be refused.
    """
    keys = tmp_path / "keys"
    keys.write_text(KEY)

    def opened(folder: Path) -> Predictor:
        return Predictor.load(folder, threads=1)

    dataplane = warm(colours, repository=Repository(shelf, opened))
    document = openapi.document(dataplane, Shown(keys=locked))
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    with running(ServerOptions(api_keys=keys if locked else None, access_log=False), dataplane) as site:
        command = [sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", site.url, "--no-color"]
        command += ["--mode", "all", "--phases", "coverage" if locked else "coverage,fuzzing", "--max-examples", "10"]
        command += ["--exclude-checks", "positive_data_acceptance", "--generation-database", "none"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"Tested: {len(operations(document))}" in done.stdout
