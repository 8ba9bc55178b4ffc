"""Who packaged this: a signature over all files of a bundle, made and checked offline with a key pair of one's own.

`model.sig`, in the bundle, is a signed in-toto statement (`deploy.dsse`) that names every other file with its SHA-256:
what OpenSSF's model-signing 1.x writes and reads for EC keys. Either tool checks what the other one signed (there with
`--no-ignore-git-paths`, or files that git uses go unsigned); Ed25519 is ours alone.

    https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md   the statement
    https://github.com/sigstore/model-transparency                          the predicate
"""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from deploy import bundle, dsse, files
from deploy.errors import BundleError

SIGNATURE = "model.sig"

_KINDS = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://model_signing/signature/v1.0"}


def sign(folder: Path | str, key: Path | str, *, password: str | None = None) -> Path:
    """Sign all files of a bundle with a private key (PEM; see `deploy.dsse`); return the signature, `model.sig`.

    The bundle is loaded with all its checks first: what would not be served is not signed. An older signature is
    replaced. Raises `BundleError`, and `UsageError` for a key of no use.
    """
    folder = Path(folder).resolve()
    bundle.load(folder)
    path = folder / SIGNATURE
    statement = _statement(folder.name, _digests(folder, path))
    files.write_json(path, dsse.seal(files.render_json(statement), Path(key), password))
    return path


def check(folder: Path | str, trusted_key: Path | str, *, signature: Path | str | None = None) -> dict[str, str]:
    """Return the SHA-256 of each file by name when a folder is what the holder of the key signed, and nothing else.

    trusted_key     public key (PEM)
    signature       default: `model.sig` in the folder

    Raises `BundleError` with the first thing that is wrong: no signature, a damaged one, another key's, another kind
    of statement; files that are links, were added, are missing or have changed. `UsageError` for a key of no use.
    """
    shown, folder = folder, Path(folder).resolve()
    path = Path(signature) if signature is not None else folder / SIGNATURE
    signed = _resources(path, dsse.unseal(path, Path(trusted_key)))
    found = _digests(folder, path.resolve())
    for words, names in (
        ("added after it was signed", found.keys() - signed.keys()),
        ("signed, but missing", signed.keys() - found.keys()),
        ("changed after it was signed", {name for name in found.keys() & signed.keys() if found[name] != signed[name]}),
    ):
        if names:
            raise BundleError(f"{shown}: {words}: {', '.join(sorted(names))}; do not use it, fetch the bundle again")
    return found


def _statement(name: str, digests: dict[str, str]) -> dict[str, Any]:
    resources = [{"name": n, "algorithm": "sha256", "digest": digest} for n, digest in sorted(digests.items())]
    return {
        **_KINDS,
        "subject": [{"name": name, "digest": {"sha256": _root(resources)}}],
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE],
            },
            "resources": resources,
        },
    }


def _root(resources: list[dict[str, str]]) -> str:
    """Return the SHA-256 of all digests in their order, which stands for the whole."""
    return hashlib.sha256(b"".join(bytes.fromhex(entry["digest"]) for entry in resources)).hexdigest()


def _resources(path: Path, payload: bytes) -> dict[str, str]:
    """Return SHA-256 by file name from a signed statement.

    What it says to ignore is not ignored: every file but the signature itself must be among its resources.
    """
    unreadable = BundleError(f"{path}: its statement is no list of files with their SHA-256; sign the bundle again")
    try:
        statement = json.loads(payload)
        kinds = {key: statement[key] for key in _KINDS}
        predicate, subjects = statement["predicate"], statement["subject"]
        if kinds != _KINDS:
            raise BundleError(f"{path}: states {kinds}, expected {_KINDS}; sign the bundle again")
        resources = predicate["resources"]
        digests = {str(entry["name"]): str(entry["digest"]) for entry in resources}
        plain = predicate["serialization"]["method"] == "files" and len(digests) == len(resources)
        hashed = all(entry["algorithm"] == "sha256" for entry in resources)
        whole = [subject["digest"]["sha256"] for subject in subjects] == [_root(resources)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise unreadable from None
    if not (plain and hashed and whole):
        raise unreadable
    return digests


def _digests(folder: Path, signature: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder but the signature; `BundleError` for what is no plain file."""
    found = {}
    for place, folders, names in os.walk(folder, onerror=_unreadable):
        for path in (Path(place) / name for name in folders + names):
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                raise BundleError(f"{path}: is a link or no plain file; a signed bundle holds plain files only")
            if path != signature:
                found[path.relative_to(folder).as_posix()] = files.sha256_file(path)
    return found


def _unreadable(error: OSError) -> NoReturn:
    raise BundleError(f"{error.filename}: cannot be read ({error.strerror}); look at its permissions") from None
