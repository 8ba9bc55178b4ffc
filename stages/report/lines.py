"""Small line plots that take their colours from the page."""

import html

import numpy as np

from stages.dataset import Array

_WIDTH, _HEIGHT, _MARGIN, _SHOWN = 160, 80, 4, 6


def svg(lines: Array, words: str) -> str:
    """Return lines (count, T) in one scale, the first six of them; what is not finite is left out."""
    shown = np.where(np.isfinite(lines), lines, np.nan)[:_SHOWN]
    known = shown[np.isfinite(shown)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    x = _MARGIN + (_WIDTH - 2 * _MARGIN) * np.arange(shown.shape[1]) / max(1, shown.shape[1] - 1)
    y = _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * (shown - low) / max(high - low, 1e-12)
    paths = "".join(f'<path class="line{i}" d="{_path(x, row)}"/>' for i, row in enumerate(y))
    return (
        f'<svg class="lines" role="img" aria-label="{html.escape(words)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}">{paths}</svg>'
    )


def _path(x: Array, y: Array) -> str:
    points, pen = [], "M"
    for across, up in zip(x, y, strict=True):
        if np.isnan(up):
            pen = "M"
            continue
        points.append(f"{pen}{across:.1f} {up:.1f}")
        pen = "L"
    return "".join(points)
