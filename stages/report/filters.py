"""The first layer's filters, where one can look at them: kernels over pixels, voxels or time."""

import numpy as np
from torch import nn

from stages.dataset import Array
from stages.report import lines, pixels
from stages.report.figure import Gallery, Item

_SHOWN = 32


def first_filters(graph: nn.Module, weights: dict[str, Array]) -> Gallery | None:
    """Return the kernels of the first layer with a matrix of weights; None unless it is a convolution wider than one.

    `weights` are the trained ones by the graph's names. An embedding, a linear or recurrent layer has no picture.
    """
    for name, module in graph.named_modules():
        if any(parameter.ndim > 1 for parameter in module.parameters(recurse=False)):
            if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or max(module.kernel_size) == 1:
                return None
            return _gallery(name, np.asarray(weights[f"{name}.weight"], np.float32))
    return None


def _gallery(name: str, weight: Array) -> Gallery:
    """Return a gallery of (out, in, *kernel)."""
    count, channels, *kernel = weight.shape
    largest = max(float(np.abs(weight).max()), 1e-12)
    items = [Item(_one(weight[i] / largest, f"filter {i + 1}")) for i in range(min(count, _SHOWN))]
    shown = f"{len(items)} of {count}" if count > len(items) else f"All {count}"
    caption = f"{shown} kernels of {name}, {' x '.join(map(str, kernel))} over {channels} channel{'s'[: channels > 1]}"
    return Gallery("First layer's filters", f"{caption}; {_how(channels, len(kernel))}.", tuple(items))


def _how(channels: int, axes: int) -> str:
    if axes == 1:
        return "a line for each channel, the first six of them, each filter in a scale of its own"
    told = "in colour, grey is 0" if channels == 3 else "black is the least, grey is 0, white is the greatest"
    mean = ", averaged over the channels" if channels not in (1, 3) else ""
    return f"{told}, in one scale{mean}{', the middle slice' if axes == 3 else ''}"


def _one(kernel: Array, words: str) -> str:
    """Return one kernel (in, *kernel), values in [-1, 1], as HTML."""
    if kernel.ndim == 2:
        return lines.svg(kernel, words)
    if kernel.ndim == 4:
        kernel = kernel[:, kernel.shape[1] // 2]
    grey = np.rint(127.5 + 127.5 * kernel).astype(np.uint8)
    colours = np.moveaxis(grey, 0, -1) if len(kernel) == 3 else grey.mean(axis=0).astype(np.uint8)
    return pixels.img(np.ascontiguousarray(colours), words)
