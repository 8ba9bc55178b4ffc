import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy import bundle, passport
from deploy.errors import BundleError, NotFoundError
from deploy.passport import SCHEMA, Check, Conditions, Machine, Passport, Recertification

DOCUMENT = Path(__file__).parents[2] / "docs" / "passport.md"


def issued(*checks: Check, **fields: Any) -> Passport:
    return Passport("a" * 64, checks, {"y": 1e-7}, 8.0, 1000, ("cpu",), "2026-01-01T00:00:00+00:00", **fields)


def test_no_check_is_no_pass() -> None:
    assert not issued()
    with pytest.raises(BundleError, match="no check was made"):
        issued().require("a" * 64)


def test_one_failure_fails_and_is_named() -> None:
    mixed = issued(Check("noise", True), Check("flips", False))
    assert not mixed
    assert mixed.verdict == "failed"
    assert [check.name for check in mixed.failures()] == ["flips"]
    with pytest.raises(BundleError, match=r"\(flips\)"):
        mixed.require("a" * 64)


def test_it_is_for_one_file_only() -> None:
    passing = issued(Check("noise", True))
    assert passing
    assert passing.verdict == "passed"
    passing.require("a" * 64)
    with pytest.raises(BundleError, match="issued for the file"):
        passing.require("b" * 64)


def test_a_newer_one_says_upgrade() -> None:
    with pytest.raises(BundleError, match=rf"schema {SCHEMA + 1}, newer than .* \({SCHEMA}\); upgrade"):
        issued(Check("noise", True), schema=SCHEMA + 1).require("a" * 64)


def test_there_and_back(tmp_path: Path) -> None:
    machine = Machine(system="Linux x86_64", cpu="Some CPU", gpu="Some GPU", onnxruntime="1.31.1")
    conditions = {"cuda": Conditions("all", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})}
    written = issued(
        Check("noise", True, 1.2, 8.0, "words"),
        environment={"torch": "2.14.1"},
        weights_sha256="b" * 64,
        data_sha256="c" * 64,
        machine=machine,
        conditions=conditions,
        schema=SCHEMA,
    )
    passport.save(tmp_path / "passport.json", written)
    assert passport.load(tmp_path / "passport.json") == written
    plain = json.loads((tmp_path / "passport.json").read_text())
    assert (plain["verdict"], plain["schema"]) == ("passed", SCHEMA)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "failed"}, "says 'failed', its checks say 'passed'; verify again"),
        ({"verdict": None}, "says None"),
        ({"schema": SCHEMA + 1, "news": 1}, "newer than this onnxway reads .* upgrade"),
        ({"limit": "8"}, "not a passport of schema 2: limit: expected a number"),
        ({"what": 1}, "what: no such key"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "passport.json"
    passport.save(path, issued(Check("noise", True)))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=words):
        passport.load(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 10**5])
def test_what_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "passport.json").write_text(text)
    with pytest.raises(BundleError, match="no passport, or a damaged one; verify again"):
        passport.load(tmp_path / "passport.json")
    with pytest.raises(NotFoundError, match="make one: pipeline verify"):
        passport.load(tmp_path / "none.json")


def test_an_older_bundle_has_the_shorter_one(colours: Path) -> None:
    older = bundle.load(colours).variant("fp32").passport
    assert older
    assert older.schema == 1
    assert older.machine == Machine()
    assert older.conditions == {}
    assert not older.weights_sha256


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the documents are not installed with the package")
@pytest.mark.parametrize("kind", [Passport, Check, Machine, Conditions, Recertification])
def test_every_field_is_documented_and_no_other(kind: type[Any]) -> None:
    (section,) = re.findall(rf"^## {kind.__name__}\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section, re.MULTILINE)
    assert [name for name, _ in rows] == [field.name for field in dataclasses.fields(kind)]
    plain = {"str": "text", "float": "number", "int": "number", "bool": "true or false"}
    for (_, stated), field in zip(rows, dataclasses.fields(kind), strict=True):
        if str(getattr(field.type, "__name__", field.type)) in plain:
            assert stated == plain[field.type.__name__], field.name
