"""Text files, and texts as rows of Unicode code points."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deploy.errors import InputError
from deploy.inputs.text import encode_text
from stages.dataset import Array
from stages.errors import DataError

_UNPACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}


def utf8(path: Path) -> str:
    """Return a file's text, unpacked if its name ends in .gz, .bz2 or .xz, without a byte order mark.

    Raises `DataError` naming the first byte that is not UTF-8, and for a file that is missing or damaged.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a file that is there") from None
    try:
        raw = _UNPACK.get(path.suffix, bytes)(raw)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: damaged {path.suffix} file ({error}); fetch it again") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} at {error.start} is not UTF-8; convert the file: "
            f"iconv -f ENCODING -t UTF-8"
        ) from None


def code_points(where: str, texts: Sequence[str], longest: int) -> Array:
    """Return int32 (N, length) as `deploy.inputs` encodes texts that are served, cut after `longest` characters."""
    try:
        return encode_text([text[:longest] for text in texts])
    except InputError as error:
        raise DataError(f"{where}: {error}") from None


def unique(texts: Sequence[str], targets: Sequence[int]) -> tuple[list[str], Array]:
    """Return texts without repetitions, in order, and their targets (N,) int64; what has two targets is left out."""
    targets_of: dict[str, set[int]] = {}
    for text, target in zip(texts, targets, strict=True):
        targets_of.setdefault(text, set()).add(target)
    kept = {text: target for text, (target, *others) in targets_of.items() if not others}
    return list(kept), np.array(list(kept.values()), dtype=np.int64)
