"""How a quatrain is written as a row of code points, for training and for serving alike.

    form, title, SEPARATOR, line 1 ，line 2 。line 3 ，line 4 。

The form is a code point too: 5 or 7, the number of characters in each line.
"""

import unicodedata

FORMS = (5, 7)
"""Characters in a line; as a code point, what a row begins with."""

LINES = 4
SEPARATOR = ord("\n")
"""Between title and text."""

STOPS = "，。"
"""Behind the first and third line, and behind the second and fourth."""


def encode(title: str, verse: str, form: int) -> list[int]:
    """Return the code points of a poem, or of its beginning; `verse` is without punctuation.

    Behind a whole line stands its stop, so what comes next is always a character of the verse, until the end.
    """
    points = [form, *map(ord, title), SEPARATOR]
    for place, character in enumerate(verse, 1):
        points.append(ord(character))
        if place % form == 0:
            points.append(ord(STOPS[(place // form - 1) % 2]))
    return points


def is_verse(characters: str) -> bool:
    """Tell whether all characters may stand in a line: letters without case, as Chinese ones are; no punctuation."""
    return all(unicodedata.category(character) == "Lo" for character in characters)
