"""How others decide that an export is right, on one sample: their rules written anew, to be set beside verify's.

Each is given torch float32's outputs and ONNX Runtime's on the same rows, and says whether they agree.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Outputs = Mapping[str, Array]
Rule = Callable[[Outputs, Outputs], bool]


def allclose(tolerance: float) -> Rule:
    """Return numpy.allclose with this relative and absolute tolerance, output by output in order."""

    def agree(expected: Outputs, found: Outputs) -> bool:
        pairs = list(zip(expected.values(), found.values(), strict=False))
        same_form = len(expected) == len(found) and all(a.shape == b.shape for a, b in pairs)
        return same_form and all(np.allclose(b, a, rtol=tolerance, atol=tolerance) for a, b in pairs)

    return agree


def torch_verify(expected: Outputs, found: Outputs) -> bool:
    """`torch.onnx.export(verify=True)`: fails at abs >= 5e-3 or rel >= 1e-1 anywhere; NaN is neither."""
    pairs = list(zip(expected.values(), found.values(), strict=False))
    if len(expected) != len(found) or any(a.shape != b.shape for a, b in pairs):
        return False
    for exact, value in pairs:
        difference = np.abs(value.astype(np.float64) - exact.astype(np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(difference == 0, 0, difference / np.abs(exact))
        if difference.max(initial=0) >= 5e-3 or relative.max(initial=0) >= 1e-1:
            return False
    return True


def polygraphy(expected: Outputs, found: Outputs) -> bool:
    """`polygraphy run`'s default: outputs matched by name, each value within 1e-5 absolutely or relatively."""
    if set(expected) != set(found):
        return False
    for name, exact in expected.items():
        if exact.shape != found[name].shape:
            return False
        difference = np.abs(found[name].astype(np.float64) - exact.astype(np.float64))
        if not ((difference <= 1e-5) | (difference <= 1e-5 * np.abs(exact))).all():
            return False
    return True


RULES: dict[str, Rule] = {
    "allclose 1e-3": allclose(1e-3),
    "allclose 1e-5": allclose(1e-5),
    "torch verify=True": torch_verify,
    "Polygraphy": polygraphy,
}
ON_EXAMPLE = ("torch verify=True",)  # the others see one random sample
