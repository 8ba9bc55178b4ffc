"""Who may ask: API keys for the public port, a token for the admin port.

Only digests are kept and compared. A key is looked up by its SHA-256 in a set, which tells nobody how much of a guess
was right; the token's digest is compared in constant time.
"""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.errors import NotFoundError, OnnxwayError, UsageError
from deploy.server.http.answer import refusal
from deploy.server.http.request import Request
from deploy.server.wire import Wire

SHORTEST = 16
"""Characters that a key or token must have."""

LOOK_S = 1.0
"""How often a file of keys is looked at for changes."""

WORDS = "no key, or one that is not known here; send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"

FORBIDDEN = "models are loaded and unloaded on the admin port only"

_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")
_HEALTH = re.compile(r"/v2/health/(live|ready)|/v2/models/[^/]+(/versions/[^/]+)?/ready")

_log = logging.getLogger(__name__)


class ApiKeys:
    """The keys of a file, read again when it changes: one a line, or `sha256:` and the hex digest of one.

    Empty lines and lines that begin with `#` say nothing. A file that is gone or wrong later changes nothing, with a
    warning in the log.
    """

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._look_at = clock() + LOOK_S
        self._seen = self._stamp()
        self._digests = _read_keys(self._path)

    def know(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request's headers (by lower-case names) hold a key of the file."""
        if self._clock() >= self._look_at:
            self._look()
        return any(digest in self._digests for digest in _presented(headers))

    def _look(self) -> None:
        self._look_at = self._clock() + LOOK_S
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._digests = _read_keys(self._path)
        except OnnxwayError as error:
            _log.warning("the keys stay as they were: %s", error)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class KeyGuard:
    """Refuses requests without a key, before their bodies are read; health is open to all, for load balancers."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def __call__(self, request: Request) -> Wire | None:
        """Return the refusal, or None."""
        if self._keys.know(request.headers or {}) or _HEALTH.fullmatch(request.path):
            return None
        return _REFUSAL


class TokenGuard:
    """Refuses requests without the token."""

    def __init__(self, token: str) -> None:
        self._digest = _digest(token)

    def __call__(self, request: Request) -> Wire | None:
        """Return the refusal, or None."""
        if any(hmac.compare_digest(digest, self._digest) for digest in _presented(request.headers or {})):
            return None
        return _REFUSAL


def read_token(path: Path | str | None, variable: str, environment: Mapping[str, str]) -> str:
    """Return the token in a file, or else in an environment variable; `UsageError` when there is none, or a short one.

    Never on the command line: everybody on the machine can read that.
    """
    if path is not None:
        token, where = _text(Path(path)).strip(), str(path)
    else:
        token, where = environment.get(variable, "").strip(), variable
    if not token:
        raise UsageError(f"{where}: no token there; give one in --admin-token-file FILE, or in the variable {variable}")
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
        raise UsageError(f"{where}: expected a token of {SHORTEST} or more plain characters; try: openssl rand -hex 32")
    return token


def _read_keys(path: Path) -> frozenset[bytes]:
    found = set()
    for number, line in enumerate(_text(path).splitlines(), 1):
        key = line.strip()
        if not key or key.startswith("#"):
            continue
        if match := _DIGEST.fullmatch(key):
            found.add(bytes.fromhex(match[1]))
        elif key.startswith("sha256:") or len(key) < SHORTEST or not key.isascii() or not key.isprintable():
            raise UsageError(  # not the key itself: this goes to logs
                f"{path}, line {number}: expected a key of {SHORTEST} or more plain characters, or sha256: and 64 hex "
                "digits; try: openssl rand -hex 32"
            )
        else:
            found.add(_digest(key))
    if not found:
        raise UsageError(f"{path}: no keys in it; write one a line")
    return frozenset(found)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: expected text in UTF-8") from None


def _presented(headers: Mapping[str, str]) -> list[bytes]:
    """Return the digests of the keys that headers hold."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    keys = [bearer.strip()] if scheme.lower() == "bearer" else []
    if "x-api-key" in headers:
        keys.append(headers["x-api-key"].strip())
    return [_digest(key) for key in keys]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _unauthorized() -> Wire:
    plain = refusal(401, WORDS)
    return Wire(plain.status, [*plain.headers, ("WWW-Authenticate", "Bearer")], plain.body)  # RFC 9110, 11.6.1


_REFUSAL = _unauthorized()
