"""Signatures over a whole bundle: ours, and those of OpenSSF's model-signing."""

import base64
import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Predictor, bundle, dsse, files, signing
from deploy.__main__ import main
from deploy.errors import BundleError, NotFoundError, OnnxwayError, UsageError

cryptography = pytest.importorskip("cryptography", reason="needs the extra `sign`")
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402

SIGNATURES = Path(__file__).parent / "fixtures" / "signatures"
KINDS: dict[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclasses.dataclass(frozen=True)
class Pair:
    private: Path
    public: Path


def pair(folder: Path, key: Any, password: bytes | None = None) -> Pair:
    pem, name = serialization.Encoding.PEM, f"{len(list(folder.glob('*.pem')))}"
    hidden: Any = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    made = Pair(folder / f"{name}.pem", folder / f"{name}.pub")
    made.private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, hidden))
    made.public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return made


@pytest.fixture
def keys(tmp_path: Path) -> Pair:
    return pair(tmp_path, KINDS["P-256"]())


@pytest.fixture
def signed(copied: Path, keys: Pair) -> Path:
    signing.sign(copied, keys.private)
    return copied


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_signed_is_taken(copied: Path, tmp_path: Path, kind: str) -> None:
    keys = pair(tmp_path, KINDS[kind]())
    before = bundle.load(copied).digest
    assert signing.sign(copied, keys.private) == copied / "model.sig"
    found = signing.check(copied, keys.public)
    assert found == {name: files.sha256_file(copied / name) for name in found}
    assert set(found) == {"manifest.json", "model.onnx", "pre.onnx", "net.onnx", "samples.npz", "README.md"}
    assert bundle.load(copied).digest == before
    with Predictor.load(copied, trusted_key=keys.public) as predictor:
        assert predictor.predict(np.full((4, 4, 3), (0, 0, 255), np.uint8)).label == "blue"
    assert signing.sign(copied, keys.private).exists()  # again


def test_an_encrypted_key_takes_its_password(copied: Path, tmp_path: Path) -> None:
    keys = pair(tmp_path, KINDS["P-256"](), b"secret")
    with pytest.raises(UsageError, match="is encrypted and got no password"):
        signing.sign(copied, keys.private)
    with pytest.raises(UsageError, match="no private key in PEM form"):
        signing.sign(copied, keys.private, password="wrong")
    signing.sign(copied, keys.private, password="secret")
    assert signing.check(copied, keys.public)


def added(folder: Path) -> None:
    (folder / "extra.onnx").write_bytes(b"x")


def added_below(folder: Path) -> None:
    (folder / ".git" / "hooks").mkdir(parents=True)
    (folder / ".git" / "hooks" / "x").write_bytes(b"x")


def removed(folder: Path) -> None:
    (folder / "README.md").unlink()


def changed(folder: Path) -> None:
    (folder / "README.md").write_bytes((folder / "README.md").read_bytes() + b"x")


def renamed(folder: Path) -> None:
    (folder / "README.md").rename(folder / "readme.md")


def linked(folder: Path) -> None:
    shutil.copy(folder / "README.md", folder.with_name("outside"))
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(folder.with_name("outside"))


def linked_folder(folder: Path) -> None:
    (folder / "more").symlink_to(folder.parent)


def piped(folder: Path) -> None:
    os.mkfifo(folder / "pipe")  # opening it would wait for ever


def unsigned(folder: Path) -> None:
    (folder / "model.sig").unlink()


def linked_signature(folder: Path) -> None:
    (folder / "model.sig").rename(folder.with_name("model.sig"))
    (folder / "model.sig").symlink_to(folder.with_name("model.sig"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (added, r"added after it was signed: extra\.onnx; do not use it"),
        (added_below, r"added after it was signed: \.git/hooks/x"),
        (removed, r"signed, but missing: README\.md"),
        (changed, r"changed after it was signed: README\.md"),
        (renamed, r"added after it was signed: readme\.md"),
        (linked, r"README\.md: is a link or no plain file"),
        (linked_folder, "more: is a link or no plain file"),
        (piped, "pipe: is a link or no plain file"),
        (unsigned, r"model\.sig: no signature there"),
        (linked_signature, r"model\.sig: no signature there"),
    ],
)
def test_anything_else_than_what_was_signed_is_refused(
    signed: Path, keys: Pair, damage: Callable[[Path], None], words: str
) -> None:
    damage(signed)
    with pytest.raises(BundleError, match=words):
        signing.check(signed, keys.public)
    with pytest.raises(BundleError, match=words):
        Predictor.load(signed, trusted_key=keys.public)


def test_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    for kind in ("P-256", "Ed25519"):
        other = pair(tmp_path, KINDS[kind]())
        with pytest.raises(BundleError, match=r"model\.sig: signed with another key than .*\.pub; do not use it"):
            signing.check(signed, other.public)


@pytest.mark.parametrize("part", [0, 1, 100, 0.5, -1, -2])
def test_a_truncated_signature_is_refused(signed: Path, keys: Pair, part: float) -> None:
    whole = (signed / "model.sig").read_bytes()
    cut = int(len(whole) * part) if part == 0.5 else int(part)
    (signed / "model.sig").write_bytes(whole[:cut] if cut != -1 else whole + b"x")
    with pytest.raises(BundleError, match="damaged or cut short"):
        signing.check(signed, keys.public)


def resigned(folder: Path, keys: Pair, change: Callable[[dict[str, Any]], None]) -> None:
    """Sign another statement with the right key: what only its holder could do."""
    statement = json.loads(dsse.unseal(folder / "model.sig", keys.public))
    change(statement)
    files.write_json(folder / "model.sig", dsse.seal(json.dumps(statement).encode(), keys.private))


def other_predicate(statement: dict[str, Any]) -> None:
    statement["predicateType"] = "https://slsa.dev/provenance/v1"


def other_type(statement: dict[str, Any]) -> None:
    statement["_type"] = "https://in-toto.io/Statement/v0.1"


def other_root(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = "0" * 64


def other_hash(statement: dict[str, Any]) -> None:
    statement["predicate"]["resources"][0]["algorithm"] = "md5"


def shards(statement: dict[str, Any]) -> None:
    statement["predicate"]["serialization"]["method"] = "shards"


def twice(statement: dict[str, Any]) -> None:
    statement["predicate"]["resources"].append(statement["predicate"]["resources"][0])


def empty(statement: dict[str, Any]) -> None:
    statement["subject"] = []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            other_predicate,
            "states .*'https://slsa.dev/provenance/v1'}, expected .*'https://model_signing/signature/v1.0'}",
        ),
        (other_type, "states .*Statement/v0.1.*, expected .*Statement/v1'"),
        (other_root, "its statement is no list of files"),
        (other_hash, "its statement is no list of files"),
        (shards, "its statement is no list of files"),
        (twice, "its statement is no list of files"),
        (empty, "its statement is no list of files"),
    ],
)
def test_another_statement_is_refused_whoever_signed_it(
    signed: Path, keys: Pair, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    resigned(signed, keys, change)
    with pytest.raises(BundleError, match=words):
        signing.check(signed, keys.public)


def test_paths_to_ignore_are_not_ignored(signed: Path, keys: Pair) -> None:
    def ignore(statement: dict[str, Any]) -> None:
        statement["predicate"]["serialization"]["ignore_paths"] = ["model.sig", "extra.onnx"]

    added(signed)
    resigned(signed, keys, ignore)
    with pytest.raises(BundleError, match="added after it was signed"):
        signing.check(signed, keys.public)


@pytest.mark.parametrize("field", ["payload", "sig", "payloadType", "mediaType"])
def test_an_edited_envelope_is_refused(signed: Path, keys: Pair, field: str) -> None:
    plain = json.loads((signed / "model.sig").read_text())
    envelope = plain["dsseEnvelope"]
    if field == "payload":
        statement = base64.b64decode(envelope["payload"]).replace(b"README", b"REEDME")
        envelope["payload"] = base64.b64encode(statement).decode()
    elif field == "sig":
        raw = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
        raw[-1] ^= 1
        envelope["signatures"][0]["sig"] = base64.b64encode(raw).decode()
    else:
        (envelope if field == "payloadType" else plain)[field] = "application/json"
    files.write_json(signed / "model.sig", plain)
    with pytest.raises(BundleError, match=r"the signature is false|holds 'application|in 'application/json'"):
        signing.check(signed, keys.public)


def test_a_file_that_is_signed_but_not_in_the_manifest_is_refused(copied: Path, keys: Pair) -> None:
    added(copied)
    signing.sign(copied, keys.private)
    with pytest.raises(BundleError, match="signed, but not listed in the manifest"):
        Predictor.load(copied, trusted_key=keys.public)


def test_what_changes_between_the_two_checks_is_refused(
    signed: Path, keys: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = signing.check(signed, keys.public)
    monkeypatch.setattr(signing, "check", lambda *_: found | {"manifest.json": "0" * 64})
    with pytest.raises(BundleError, match="signed, but not listed in the manifest, or changed"):
        Predictor.load(signed, trusted_key=keys.public)


def test_what_would_not_be_served_is_not_signed(copied: Path, keys: Pair) -> None:
    changed(copied)
    with pytest.raises(BundleError, match=r"README\.md: SHA-256 is"):
        signing.sign(copied, keys.private)
    assert not (copied / "model.sig").exists()


def test_keys_of_no_use_are_named(signed: Path, keys: Pair, tmp_path: Path) -> None:
    other = pair(tmp_path, rsa.generate_private_key(65537, 2048))
    secp256k1 = pair(tmp_path, ec.generate_private_key(ec.SECP256K1()))
    for wrong in (other, secp256k1):
        with pytest.raises(UsageError, match="neither Ed25519 nor EC on P-256"):
            signing.sign(signed, wrong.private)
        with pytest.raises(UsageError, match="neither Ed25519 nor EC on P-256"):
            signing.check(signed, wrong.public)
    with pytest.raises(UsageError, match="no public key in PEM form; make a pair: openssl genpkey"):
        signing.check(signed, keys.private)
    with pytest.raises(UsageError, match="no private key in PEM form"):
        signing.sign(signed, keys.public)
    with pytest.raises(NotFoundError, match="no such key"):
        signing.check(signed, tmp_path / "none.pub")
    with pytest.raises(UsageError, match="cannot be read"):
        signing.check(signed, tmp_path)


def test_without_the_package_it_says_what_to_install(signed: Path, keys: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(OnnxwayError, match=r"pip install 'onnxway\[sign\]'"):
        signing.check(signed, keys.public)


def test_a_signature_of_model_signing_is_taken(copied: Path) -> None:
    """Made by `model_signing sign key colours --no-ignore-git-paths` (1.1.1), of the bundle beside it."""
    signature, key = SIGNATURES / "model_signing.sig", SIGNATURES / "model_signing.pub"
    assert len(signing.check(copied, key, signature=signature)) == 6
    shutil.copy(signature, copied / "model.sig")
    assert Predictor.load(copied, trusted_key=key)
    changed(copied)
    with pytest.raises(BundleError, match=r"changed after it was signed: README\.md"):
        signing.check(copied, key)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521"])
def test_model_signing_takes_ours(copied: Path, tmp_path: Path, kind: str) -> None:
    verifying = pytest.importorskip("model_signing.verifying")
    hashing = pytest.importorskip("model_signing.hashing")
    keys = pair(tmp_path, KINDS[kind]())
    signature = signing.sign(copied, keys.private)

    def verify() -> None:
        config = verifying.Config().use_elliptic_key_verifier(public_key=keys.public)
        paths = hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False)
        config.set_hashing_config(paths).verify(copied, signature)

    verify()
    changed(copied)
    with pytest.raises(ValueError, match="Hash mismatch"):
        verify()


def test_the_server_refuses_what_is_not_signed(copied: Path, keys: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("httptools")
    pytest.importorskip("starlette")
    assert main([str(copied), "--trusted-key", str(keys.public), "--port", "0"]) == 1
    assert "model.sig: no signature there" in capsys.readouterr().err
