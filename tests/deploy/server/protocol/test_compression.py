import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import InputError, MediaTypeError, TooLargeError
from deploy.server.protocol.compression import compress, decompress, wanted

LIMIT = 10_000


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


WAYS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "GZIP ": gzip.compress, "deflate": zlib.compress}


@given(st.binary(max_size=LIMIT), st.sampled_from(sorted(WAYS)))
def test_what_clients_compress(body: bytes, encoding: str) -> None:
    assert decompress(WAYS[encoding](body), encoding, LIMIT) == body


def test_deflate_without_its_header_and_no_encoding() -> None:
    assert decompress(raw_deflate(b"hello"), "deflate", LIMIT) == b"hello"
    assert decompress(b"hello", "identity", LIMIT) == b"hello"
    assert decompress(b"hello", "", LIMIT) == b"hello"


@given(st.lists(st.binary(max_size=50)), st.sampled_from(["gzip", "deflate"]))
def test_round_trip(parts: list[bytes], encoding: str) -> None:
    assert decompress(compress(parts, encoding), encoding, LIMIT) == b"".join(parts)


def test_a_bomb_is_refused_before_it_is_large() -> None:
    bomb = gzip.compress(bytes(200 * 2**20), 9)
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="over 10000 bytes decompressed"):
        decompress(bomb, "gzip", LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (b"hello", "gzip", "the body is not gzip"),
        (gzip.compress(b"hello")[:-3], "gzip", "cut short"),
        (gzip.compress(b"hello") + b"more", "gzip", "goes on for 4 bytes"),
        (b"", "gzip", "cut short"),
        (b"", "deflate", "cut short"),
        (b"\x78\x9chello", "deflate", "not deflate"),
    ],
)
def test_damaged_bodies(body: bytes, encoding: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decompress(body, encoding, LIMIT)


def test_other_encodings_are_415() -> None:
    for encoding in ("br", "zstd", "gzip, gzip", "x" * 100):
        with pytest.raises(MediaTypeError, match="not supported; use gzip, deflate or none"):
            decompress(b"x", encoding, LIMIT)


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("gzip", "gzip"),
        (" Deflate ; q=0.5", "deflate"),
        ("gzip;q=0", ""),
        ("gzip; q=0.0", ""),
        ("gzip, deflate", ""),
        ("gzip, deflate, br", ""),
        ("br", ""),
        ("identity", ""),
        ("*", ""),
        ("", ""),
    ],
)
def test_answers_are_compressed_for_those_who_ask_for_one_coding(header: str, coding: str) -> None:
    assert wanted(header) == coding
