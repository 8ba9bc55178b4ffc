"""The OpenAPI document, and schemathesis on it: no 5xx, and nothing that the document does not declare."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("orjson", reason="needs the extra 'serve'")

from hypothesis import HealthCheck, Phase, given, settings

from deploy import Predictor
from deploy.server.dataplane import DataPlane
from deploy.server.repository import Repository
from deploy.server.rest import openapi, page
from deploy.server.rest.app import create_app
from tests.deploy.server.conftest import versioned

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")


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


def test_schemathesis_finds_nothing(dataplane: DataPlane) -> None:
    app = create_app(dataplane)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=25,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            case.call_and_validate(checks=checks)

        check()
        tried += 1
    assert tried == len(operations(openapi.document(dataplane)))
