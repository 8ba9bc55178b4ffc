"""gzip and deflate of bodies, bounded: what would grow over a limit is refused while it is decompressed."""

import zlib
from collections.abc import Iterator, Sequence

from deploy.errors import InputError, MediaTypeError, TooLargeError

_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's wbits
_PIECE = 256 * 1024  # bytes at once
_KEPT = 8 * 2**20  # of more, malloc may keep much for each thread that ever had it, if only to refuse it
_LEVEL = 1  # tensors hardly shrink further at higher levels, and take many times as long


def decompress(body: bytes | memoryview, encoding: str, limit: int) -> bytes | memoryview:
    """Return a body as it was before its Content-Encoding (identity, gzip or deflate).

    `limit` is in bytes of what comes out; over it is a `TooLargeError`, which costs time but little memory.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise MediaTypeError(f"Content-Encoding {encoding[:40]!r}: not supported; use gzip, deflate or none")
    # "deflate" is zlib's format (RFC 9110), but some clients leave its two bytes out; 0x78 begins no useful raw stream
    window = _GZIP if encoding.endswith("gzip") else _ZLIB if bytes(body[:1]) == b"\x78" else _RAW
    parts, size = list[bytes](), 0
    pieces = _inflate(memoryview(body), window, encoding, limit)
    for part in pieces:
        parts.append(part)
        size += len(part)
        if size > _KEPT:
            parts.clear()
            for _ in pieces:  # all of it is looked at, and nothing kept, before memory is taken for it
                pass
            parts.extend(_inflate(memoryview(body), window, encoding, limit))
    return b"".join(parts)


def _inflate(body: memoryview, window: int, encoding: str, limit: int) -> Iterator[bytes]:
    """Yield what comes out, piece by piece; raises when it is over the limit, damaged, too short or too long."""
    stream, size = zlib.decompressobj(window), 0
    while body and not stream.eof:
        piece: bytes | memoryview = body[:_PIECE]
        body = body[_PIECE:]
        while part := _next(stream, piece, encoding):
            size += len(part)
            if size > limit:
                raise TooLargeError(
                    f"the body is over {limit} bytes decompressed, which is the limit; send a smaller one"
                )
            yield part
            piece = stream.unconsumed_tail
    if not stream.eof:
        raise InputError(f"the body is {encoding} data cut short; send all of it")
    if more := len(stream.unused_data) + len(body):
        raise InputError(f"the body goes on for {more} bytes after its {encoding} data ended")


def _next(stream: "zlib._Decompress", piece: bytes | memoryview, encoding: str) -> bytes:
    try:
        return stream.decompress(piece, _PIECE)
    except zlib.error as error:
        raise InputError(f"the body is not {encoding}: {error}") from None


def wanted(accept_encoding: str) -> str:
    """Return the coding to compress an answer with, or an empty string.

    Only a client that names one coding alone gets it: most HTTP libraries list all they know unasked, and on a fast
    network compressing tensors takes longer than sending them.
    """
    name, _, quality = accept_encoding.strip().lower().partition(";")
    name, quality = name.strip(), quality.replace(" ", "")
    return name if name in ("gzip", "deflate") and quality not in ("q=0", "q=0.0", "q=0.00", "q=0.000") else ""


def compress(parts: Sequence[bytes | memoryview], encoding: str) -> bytes:
    """Return all parts as one body in `encoding` (gzip or deflate)."""
    stream = zlib.compressobj(_LEVEL, wbits=_GZIP if encoding == "gzip" else _ZLIB)
    return b"".join([*(stream.compress(part) for part in parts), stream.flush()])
