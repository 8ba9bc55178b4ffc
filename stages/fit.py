"""Whether samples are what the input kind takes in production: asked once, before hours are spent on them."""

import numpy as np

from deploy.bundle import Signature
from deploy.errors import InputError
from deploy.inputs import InputKind, input_kind
from stages.dataset import Array, Dataset
from stages.errors import DataError


def require_fit(dataset: Dataset, signature: Signature) -> None:
    """Raise `DataError` for samples of a dtype, shape or value that the server would refuse; NaN is one.

    Samples that are decoded when they are asked for are not looked at: what decodes them is what decodes payloads.
    """
    kind, name = input_kind(signature), signature.tensors[0].name
    for part in ("train", "validation", "test"):
        inputs = getattr(dataset, part).inputs
        try:
            if isinstance(inputs, np.ndarray):
                _check(kind, name, inputs)
            elif isinstance(inputs, list | tuple):
                for sample in inputs:
                    _check(kind, name, sample[None])
        except InputError as error:
            raise DataError(
                f"data {dataset.info.name!r}, {part} samples: {error}; set the input by the data, or mend it"
            ) from None


def _check(kind: InputKind, name: str, samples: Array) -> None:
    if len(samples):
        kind.check({name: samples})
