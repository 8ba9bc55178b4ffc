"""How one raw sample is shown on a page: a file for each kind of input, with `draw(sample, words) -> HTML`.

The sample is a row of the raw tensor (float where augmentation made it so); `words` say what it is to those who cannot
see it. A kind without a file is told in numbers.
"""

import html
import importlib
import importlib.util
from collections.abc import Callable

from stages.dataset import Array

Draw = Callable[[Array, str], str]


def drawer(kind: str) -> Draw:
    """Return the function that shows samples of a kind of input, as `Signature.kind` names it."""
    module = f"{__name__}.{kind}"
    if not kind.isidentifier() or importlib.util.find_spec(module) is None:
        return in_numbers
    draw: Draw = importlib.import_module(module).draw
    return draw


def in_numbers(sample: Array, words: str) -> str:
    """Return shape and range of a sample whose kind has no picture."""
    shape = " x ".join(map(str, sample.shape)) or "scalar"
    span = f"{sample.min():.4g} to {sample.max():.4g}" if sample.size else "empty"
    return f'<span class="text" title="{html.escape(words)}">{shape}, {span}</span>'
