"""Text: Unicode code points; 0, and whatever else is no code point, is left out."""

import html

from stages.dataset import Array

_SHOWN = 400


def draw(sample: Array, words: str) -> str:
    """Return the text itself, its beginning where it is long."""
    points = [int(point) for point in sample if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000]
    shown = "".join(map(chr, points[:_SHOWN])) + ("…" if len(points) > _SHOWN else "")
    return f'<q class="text" title="{html.escape(words)}">{html.escape(shown)}</q>'
