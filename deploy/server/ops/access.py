"""Who may ask: API keys for the public port, a token for the admin port.

Only digests are kept and compared. A key is looked up by its SHA-256 in a set, which tells nobody how much of a guess
was right; the token's digest is compared in constant time.
"""

import hashlib
import hmac
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from deploy.errors import NotFoundError, UsageError
from deploy.server.http.answer import refusal
from deploy.server.http.request import Request
from deploy.server.ops.exposition import Page
from deploy.server.ops.watched import Watched
from deploy.server.wire import Wire

SHORTEST = 16
"""Characters that a key or token must have."""

WORDS = "no key, or one that is not known here; send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"

FORBIDDEN = "models are loaded and unloaded on the admin port only"

_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")
_NAMED = re.compile(r"(.*?)\s+#\s*(.*)")
_HEALTH = re.compile(r"/v2/health/(live|ready)|/v2/models/[^/]+(/versions/[^/]+)?/ready")


class ApiKeys:
    """The keys of a file, read again when it changes: one a line, or `sha256:` and the hex digest of one.

    What follows ` #` is the key's name, by which its requests are counted; without one it is `key 3` if it is the third
    of the file. Empty lines and lines that begin with `#` say nothing.
    """

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.monotonic) -> None:
        path = Path(path)
        self._names = Watched([path], partial(_read_keys, path), "the keys stay as they were", clock)
        self._counts: Counter[str] = Counter()
        self._refused = 0

    def know(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request's headers (by lower-case names) hold a key of the file, and count it."""
        names = self._names.get()
        for digest in _presented(headers):
            if digest in names:
                self._counts[names[digest]] += 1
                return True
        return False

    def refuse(self) -> None:
        """Count a request that was refused."""
        self._refused += 1

    def show(self, page: Page) -> None:
        """Write the counts, by the names of keys."""
        counts = dict.fromkeys(self._names.get().values(), 0) | self._counts
        page.add(
            "onnxway_key_requests_total",
            "counter",
            "Requests by the name of their API key.",
            [({"key": name}, count) for name, count in sorted(counts.items())],
        )
        page.add("onnxway_key_refused_total", "counter", "Requests without a known API key.", [({}, self._refused)])


class KeyGuard:
    """Refuses requests without a key, before their bodies are read; health is open to all, for load balancers."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def __call__(self, request: Request) -> Wire | None:
        """Return the refusal, or None."""
        if self._keys.know(request.headers or {}) or _HEALTH.fullmatch(request.path):
            return None
        self._keys.refuse()
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


def _read_keys(path: Path) -> dict[bytes, str]:
    """Return the digests of the keys in a file, and their names."""
    found: dict[bytes, str] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        named = _NAMED.fullmatch(line)
        key, name = (named[1], named[2]) if named else (line, "")
        if match := _DIGEST.fullmatch(key):
            digest = bytes.fromhex(match[1])
        elif key.startswith("sha256:") or len(key) < SHORTEST or not key.isascii() or not key.isprintable():
            raise UsageError(  # not the key itself: this goes to logs
                f"{path}, line {number}: expected a key of {SHORTEST} or more plain characters, or sha256: and 64 hex "
                "digits; try: openssl rand -hex 32"
            )
        else:
            digest = _digest(key)
        found[digest] = name[:64] or f"key {len(found) + 1}"
    if not found:
        raise UsageError(f"{path}: no keys in it; write one a line")
    return found


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
