"""What the tests of the sources share: refusals in words, small files in the form of the real ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.dataset import Dataset
from stages.errors import DataError


def refused(call: Callable[[], Any], *words: str) -> str:
    """The one line of the `DataError` that a call raises; all `words` must be in it."""
    with pytest.raises(DataError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text
    return text


def sound(data: Dataset) -> None:
    """Hold a dataset to what every source promises."""
    info = data.info
    for name in ("train", "validation", "test"):
        split = getattr(data, name)
        assert info.sizes[name] == len(split) == len(split.inputs)
        assert split.targets.dtype == np.int64
        if len(split):
            assert 0 <= split.targets.min() <= split.targets.max() < len(info.labels)
        named = [size for size in info.sample_shape if isinstance(size, int)]
        for sample in split.inputs[:1]:
            assert sample.ndim == len(info.sample_shape)
            assert [s for s, e in zip(sample.shape, info.sample_shape, strict=True) if isinstance(e, int)] == named
    assert info.counts == tuple(np.bincount(data.train.targets, minlength=len(info.labels)).tolist())
    assert len(info.digest) == 64
    assert info.licence
