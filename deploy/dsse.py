"""Signed statements: a Sigstore bundle (v0.3) around a DSSE envelope, with a key pair instead of certificates.

    https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md      the envelope, and which bytes are signed
    https://docs.sigstore.dev/about/bundle                                  what is around it

Keys are PEM files: Ed25519, or EC on P-256, P-384 or P-521. All cryptography is that of the package `cryptography`.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from deploy.errors import BundleError, NotFoundError, OnnxwayError, UsageError

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_MAX_BYTES = 2**20  # a bundle has a handful of files, and so many lines has its statement
_MAKE = (
    "make a pair: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem; "
    "openssl pkey -in key.pem -pubout -out key.pub"
)


def seal(payload: bytes, key: Path, password: str | None = None) -> dict[str, Any]:
    """Return an in-toto payload signed with a private key, as JSON values; `UsageError` for a key of no use."""
    serialization = _cryptography()
    try:
        private = serialization.load_pem_private_key(_read(key), None if password is None else password.encode())
    except TypeError:
        raise UsageError(f"{key}: is encrypted and got no password, or got one and is not encrypted") from None
    except Exception as error:  # ValueError, or UnsupportedAlgorithm, which is no relative of it
        raise _no_key(key, "private", error) from None
    public = private.public_key()
    signature = private.sign(_pae(payload), *_scheme(public, key))
    return {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": _fingerprint(public)}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }


def unseal(path: Path, key: Path) -> bytes:
    """Return the payload of a signature file, after checking that the holder of a public key signed these bytes.

    Raises `BundleError` for no signature, a damaged one and another key's; `UsageError` for a key of no use.
    """
    serialization = _cryptography()
    try:
        public = serialization.load_pem_public_key(_read(key))
    except Exception as error:  # as above
        raise _no_key(key, "public", error) from None
    scheme = _scheme(public, key)
    payload, signatures, hint = _parse(path)
    if any(_signed(public, scheme, signature, payload) for signature in signatures):
        return payload
    if hint != _fingerprint(public):
        raise BundleError(f"{path}: signed with another key than {key}; do not use it, or name the key of its maker")
    raise BundleError(f"{path}: says it was signed with {key}, but the signature is false; do not use the bundle")


def _signed(public: Any, scheme: tuple[Any, ...], signature: bytes, payload: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, _pae(payload), *scheme)
    except InvalidSignature:
        return False
    return True


def _parse(path: Path) -> tuple[bytes, list[bytes], str]:
    """Return payload, signatures and the fingerprint of the key that a signature file names."""
    if path.is_symlink() or not path.is_file():
        raise BundleError(
            f"{path}: no signature there; ask for a signed bundle, or sign it: pipeline package --sign KEY"
        )
    try:
        with path.open("rb") as file:
            plain = json.loads(file.read(_MAX_BYTES))  # longer ones end in the middle
        envelope = plain["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(entry["sig"], validate=True) for entry in envelope["signatures"]]
        kinds = (plain["mediaType"], envelope["payloadType"])
        hint = plain["verificationMaterial"].get("publicKey", {}).get("hint", "")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise BundleError(f"{path}: damaged or cut short, it is no signature; fetch the bundle again") from None
    if kinds != (_MEDIA_TYPE, _PAYLOAD_TYPE):
        raise BundleError(
            f"{path}: holds {kinds[1]!r} in {kinds[0]!r}, expected {_PAYLOAD_TYPE!r} in {_MEDIA_TYPE!r}; "
            "sign the bundle again: pipeline package --sign KEY"
        )
    return payload, signatures, hint


def _pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding of an in-toto payload: the bytes that are signed."""
    kind = _PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _scheme(public: Any, path: Path) -> tuple[Any, ...]:
    """Return what `sign` and `verify` of a key take beyond the bytes: nothing for Ed25519, the hash for a curve."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(public, ed25519.Ed25519PublicKey):
        return ()
    curves = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in curves:
        return (ec.ECDSA(curves[public.curve.name]),)
    raise UsageError(f"{path}: neither Ed25519 nor EC on P-256, P-384 or P-521; {_MAKE}")


def _fingerprint(public: Any) -> str:
    """Return SHA-256 of the public key in PEM form, by which model-signing names a key."""
    serialization = _cryptography()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _cryptography() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise OnnxwayError("signatures need the package cryptography; pip install 'onnxway[sign]'") from None
    return serialization


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such key; {_MAKE}") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name the key's PEM file") from None


def _no_key(path: Path, half: str, error: Exception) -> OnnxwayError:
    if isinstance(error, OnnxwayError):
        return error
    return UsageError(f"{path}: no {half} key in PEM form; {_MAKE}")
