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
    """Return the code points of a poem, or of its beginning; `verse` is without punctuation."""
    points = [form, *map(ord, title), SEPARATOR]
    for place, letter in enumerate(verse):
        points += written(ord(letter), place, form)
    return points


def written(letter: int, place: int, form: int) -> list[int]:
    """Return the code point of the letter at a place of the verse, from 0; of a line's last one, with its stop.

    So what comes next is always a letter, until the poem ends.
    """
    line, column = divmod(place, form)
    return [letter, ord(STOPS[line % 2])] if column == form - 1 else [letter]


def lines(verse: str, form: int) -> tuple[str, ...]:
    """Return the lines of a verse, each with its stop."""
    points = "".join(chr(point) for place, letter in enumerate(verse) for point in written(ord(letter), place, form))
    return tuple(points[start : start + form + 1] for start in range(0, len(points), form + 1))


def is_verse(characters: str) -> bool:
    """Tell whether all characters may stand in a line: letters without case, as Chinese ones are; no punctuation."""
    return all(unicodedata.category(character) == "Lo" for character in characters)
