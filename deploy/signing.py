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

_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"


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
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _root(resources)}}],
        "predicateType": _PREDICATE_TYPE,
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
    try:
        statement = json.loads(payload)
        kinds = (statement["_type"], statement["predicateType"])
        predicate, (subject,) = statement["predicate"], statement["subject"]
        resources = predicate["resources"] if kinds == (_STATEMENT_TYPE, _PREDICATE_TYPE) else []
        digests = {str(entry["name"]): str(entry["digest"]) for entry in resources}
        whole = (
            predicate.get("serialization", {}).get("method") == "files"
            and all(entry["algorithm"] == "sha256" for entry in resources)
            and len(digests) == len(resources)
            and subject["digest"]["sha256"] == _root(resources)
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        kinds, whole = (_STATEMENT_TYPE, _PREDICATE_TYPE), False
    if kinds != (_STATEMENT_TYPE, _PREDICATE_TYPE):
        raise BundleError(f"{path}: states {kinds[1]!r}, expected {_PREDICATE_TYPE!r}; sign the bundle again")
    if not whole:
        raise BundleError(f"{path}: its statement is no list of files with their SHA-256; sign the bundle again")
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
