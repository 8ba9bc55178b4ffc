import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy import bundle, files
from deploy.bundle import MANIFEST, Manifest
from deploy.errors import BundleError, NotFoundError, OnnxwayError, UsageError
from deploy.passport import Check

NAMES = ["manifest.json", "model.onnx", "pre.onnx", "net.onnx", "samples.npz", "README.md"]


def reseal(folder: Path, change: dict) -> None:
    """Change the manifest and give it a digest that fits: what a foreign or a newer writer would have written."""
    plain = json.loads((folder / MANIFEST).read_bytes())
    plain.pop("sha256")
    plain |= change
    plain["sha256"] = files.sha256(files.render_json(plain))
    (folder / MANIFEST).write_bytes(files.render_json(plain))


def write(folder: Path, source: Path, manifest: Manifest) -> None:
    with bundle.writing(folder, manifest) as temporary:
        for name in NAMES[1:]:
            shutil.copy(source / name, temporary / name)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_loads_with_every_file_under_a_digest(colours: Path) -> None:
    loaded = bundle.load(colours)
    assert set(loaded.manifest.files) == set(NAMES[1:])
    assert loaded.manifest.output.labels == ("red", "green", "blue")
    assert loaded.model_path() == colours / "model.onnx"
    assert loaded.digest == files.sha256_file(colours / MANIFEST)


@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_is_refused(copied: Path, name: str, data: st.DataObject) -> None:
    path = copied / name
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    mask = data.draw(st.integers(1, 255))
    damaged = bytearray(original)
    damaged[position] ^= mask
    path.write_bytes(damaged)
    try:
        with pytest.raises(BundleError, match=name):
            bundle.load(copied)
    finally:
        path.write_bytes(original)
    bundle.load(copied)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_short_is_refused(copied: Path, name: str) -> None:
    path = copied / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match=name):
        bundle.load(copied)


def test_manifest_with_an_added_byte_is_refused(copied: Path) -> None:
    with (copied / MANIFEST).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(BundleError, match="damaged"):
        bundle.load(copied)


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}: missing"):
        bundle.load(copied)


def test_no_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no bundle there .* pipeline package"):
        bundle.load(tmp_path / "nothing")
    with pytest.raises(NotFoundError, match="no bundle there"):
        bundle.load(tmp_path)


def test_a_newer_schema_says_upgrade(copied: Path) -> None:
    reseal(copied, {"schema": bundle.SCHEMA + 1, "what_is_this": {}})
    with pytest.raises(BundleError, match=r"schema 3 is newer than this onnxway reads \(2\); upgrade"):
        bundle.load(copied)


@pytest.mark.parametrize("change", [{"name": 3}, {"unknown": 1}, {"files": None}, {"variants": {"fp32": {}}}])
def test_a_sealed_manifest_of_another_form_is_refused(copied: Path, change: dict) -> None:
    reseal(copied, change)
    with pytest.raises(BundleError, match="not a manifest of schema 2"):
        bundle.load(copied)


@pytest.mark.parametrize(
    "text", ["", "[]", "not json", "{}", '{"schema": 1}', "\udcff", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 10**5]
)
def test_a_manifest_that_is_none_is_refused(copied: Path, text: str) -> None:
    (copied / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BundleError, match="damaged"):
        bundle.load(copied)


def test_a_symlink_is_not_followed(copied: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    (copied / "model.onnx").rename(outside)
    (copied / "model.onnx").symlink_to(outside)
    with pytest.raises(BundleError, match="not a plain file"):
        bundle.load(copied)


def test_what_is_no_plain_file_is_not_opened(copied: Path) -> None:
    (copied / "model.onnx").unlink()
    os.mkfifo(copied / "model.onnx")  # opening it would wait for ever
    with pytest.raises(BundleError, match="not a plain file"):
        bundle.load(copied)


@pytest.mark.parametrize(("name", "method"), [("manifest.json", "read_bytes"), ("net.onnx", "open")])
def test_a_file_that_cannot_be_read_is_named(
    copied: Path, monkeypatch: pytest.MonkeyPatch, name: str, method: str
) -> None:
    real = getattr(Path, method)

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == name:
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(BundleError, match=rf"{name}: cannot be read \(Permission denied\)"):
        bundle.load(copied)


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/hostname", "a/b.onnx"])
def test_a_path_out_of_the_bundle_is_refused(copied: Path, name: str) -> None:
    listed = json.loads((copied / MANIFEST).read_bytes())["files"]
    reseal(copied, {"files": listed | {name: "0" * 64}})
    with pytest.raises(BundleError, match="not a plain file"):
        bundle.load(copied)


def test_a_model_without_a_digest_is_refused(copied: Path) -> None:
    listed = json.loads((copied / MANIFEST).read_bytes())["files"]
    reseal(copied, {"files": {name: digest for name, digest in listed.items() if name != "net.onnx"}})
    with pytest.raises(BundleError, match=r"uses 'net\.onnx' without a digest"):
        bundle.load(copied)


def test_a_passport_of_another_file_is_refused(copied: Path) -> None:
    variants = json.loads((copied / MANIFEST).read_bytes())["variants"]
    variants["fp32"]["passport"]["model_sha256"] = "0" * 64
    reseal(copied, {"variants": variants})
    with pytest.raises(BundleError, match="issued for the file with SHA-256 000000000000"):
        bundle.load(copied)


def failing(manifest: Manifest) -> Manifest:
    variant = manifest.variants["fp32"]
    passport = dataclasses.replace(variant.passport, checks=(Check("parity", False, 99.0, 8.0),))
    return dataclasses.replace(manifest, variants={"fp32": dataclasses.replace(variant, passport=passport)})


def test_a_failing_passport_is_neither_written_nor_read(copied: Path, tmp_path: Path) -> None:
    manifest = bundle.load(copied).manifest
    with pytest.raises(BundleError, match=r"did not pass verification \(parity\)"):
        write(tmp_path / "new", copied, failing(manifest))
    assert not (tmp_path / "new").exists()
    variants = json.loads((copied / MANIFEST).read_bytes())["variants"]
    variants["fp32"]["passport"]["checks"][0]["passed"] = False
    reseal(copied, {"variants": variants})
    with pytest.raises(BundleError, match=r"did not pass verification \(parity\)"):
        bundle.load(copied)
    assert not bundle.load(copied, unverified=True).variant("fp32").passport


def test_an_unknown_variant_names_the_choices(colours: Path) -> None:
    with pytest.raises(UsageError, match=r"variant 'int8': .* fp32"):
        bundle.load(colours).model_path("int8")


def test_what_is_written_is_what_was_read(colours: Path, tmp_path: Path) -> None:
    write(tmp_path / "again", colours, bundle.load(colours).manifest)
    manifest = dataclasses.replace(bundle.load(colours).manifest, schema=bundle.SCHEMA)  # always the newest is written
    assert bundle.load(tmp_path / "again").manifest == manifest
    assert content(tmp_path / "again").keys() == content(colours).keys()
    assert list(tmp_path.iterdir()) == [tmp_path / "again"]


def test_a_newer_bundle_replaces_the_older_in_one_step(copied: Path, colours: Path) -> None:
    manifest = dataclasses.replace(bundle.load(colours).manifest, version="2")
    write(copied, colours, manifest)
    assert bundle.load(copied).manifest.version == "2"
    assert list(copied.parent.iterdir()) == [copied]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), OnnxwayError("stop")])
def test_a_write_that_fails_leaves_the_old_bundle(
    copied: Path, colours: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = content(copied)

    def fail(path: Path, data: bytes) -> None:
        raise error

    monkeypatch.setattr(files, "write_bytes", fail)
    with pytest.raises(type(error)):
        write(copied, colours, dataclasses.replace(bundle.load(colours).manifest, version="2"))
    assert content(copied) == before
    assert list(copied.parent.iterdir()) == [copied]
    bundle.load(copied)
