"""NumPy's .npz files."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.dataset import Array
from stages.errors import DataError


def read_npz(path: Path, keys: Sequence[str] = (), hint: str = "fetch it again") -> dict[str, Array]:
    """Return the arrays of a file, of which `keys` must be there.

    Raises `DataError` for a file that is missing, damaged, holds Python objects (never unpickled), or lacks a key;
    `hint` says what to do about a file that is missing or not as it should be.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: holds one array, expected an .npz file; {hint}")
            arrays = {key: loaded[key] for key in loaded.files}
    except FileNotFoundError:
        raise DataError(f"{path}: missing; {hint}") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not an .npz file of plain arrays ({str(error) or 'empty'}); {hint}") from None
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise DataError(f"{path}: has no {missing[0]!r}, expected {', '.join(keys)}; {hint}")
    return arrays
