"""The type of an array in signatures: `numpy.typing.NDArray[Any]`, without an import that costs 5 ms."""

from typing import Any

import numpy as np

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
