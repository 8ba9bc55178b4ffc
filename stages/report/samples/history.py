"""Histories: the user's id and those of the items last taken."""

import html

from stages.dataset import Array

_SHOWN = 10


def draw(sample: Array, words: str) -> str:
    """Return the ids, the last ones where there are many."""
    user, items = int(sample[0]), [str(int(item)) for item in sample[1:] if item > 0]
    who = f"user {user}" if user > 0 else "nobody known"
    before = f"{len(items) - _SHOWN} more, " if len(items) > _SHOWN else ""
    taken = f"{before}{', '.join(items[-_SHOWN:])}" if items else "nothing"
    return f'<span class="text" title="{html.escape(words)}">{who}: {taken}</span>'
