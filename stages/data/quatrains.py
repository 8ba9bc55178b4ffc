"""Tang quatrains: poems of four lines of five or of seven characters, by author split (from chinese-poetry)."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deploy.quatrain import FORMS, LINES, SEPARATOR, STOPS, encode, is_verse
from stages.data.read.text import utf8
from stages.dataset import TEXT, Array, DataInfo, Dataset, Split, alphabet
from stages.errors import DataError
from stages.split import digest

_FILE = Path("text") / "tang_quatrains.tsv.gz"
_MARKS = re.compile("[，。？！；、]+")


class Poem(NamedTuple):
    """One poem: four lines of as many characters each, without punctuation."""

    author: str
    title: str
    lines: tuple[str, ...]


def quatrains(
    root: Path, *, longest_title: int = 24, validation: float = 0.05, test: float = 0.1, seed: int = 0
) -> Dataset:
    """Some 13,400 poems in `root`/text, split by author: nobody who is tested on is trained on.

    Left out: poems with gaps, and every poem that has a line in common with an earlier one (the collection holds some
    600 twice, under other titles or authors). Samples are code points (N, length) as `deploy.quatrain.encode` writes
    poems, titles cut after `longest_title` characters; targets (N,) the number of characters in each verse, 20 or 28.
    """
    path = root / _FILE
    if not path.is_file():
        raise DataError(
            f"{path}: missing; write a line a poem there: kind (5 or 7), author, title and text, with tabs between "
            "(from the npm package chinese-poetry, MIT), or name another data root: --data-root"
        )
    poems = list(_different(_read(path)))
    rows = by_author(path, [poem.author for poem in poems], (1 - validation - test, validation, test), seed)
    points = [encode(poem.title[:longest_title], "".join(poem.lines), len(poem.lines[0])) for poem in poems]
    inputs = np.zeros((len(points), max(map(len, points), default=0)), np.int32)
    for row, codes in zip(inputs, points, strict=True):
        row[: len(codes)] = codes
    targets = np.array([sum(map(len, poem.lines)) for poem in poems])
    train, held, tested = (Split(inputs[part], targets[part]) for part in rows)
    info = DataInfo(
        name="quatrains",
        sample_shape=TEXT,
        labels=(),
        digest=digest(train, held, tested),
        licence="Tang poems, in chinese-poetry (MIT)",
        sizes={"train": len(train), "validation": len(held), "test": len(tested)},
        alphabet=_known(inputs[rows[0]]),
    )
    return Dataset(info, train, held, tested)


def by_author(path: Path, authors: Sequence[str], fractions: tuple[float, ...], seed: int) -> tuple[Array, ...]:
    """Return row numbers for each fraction, all poems of an author in the same part.

    Authors come in an order drawn by `seed`; the part of each is where the middle of his poems falls.
    """
    names, of = np.unique(np.array(authors), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    counts = np.bincount(of)[order]
    middles = (np.cumsum(counts) - counts / 2) / len(authors)
    part = np.empty(len(names), np.int64)
    part[order] = np.searchsorted(np.cumsum(fractions)[:-1], middles)
    rows = tuple(np.flatnonzero(part[of] == number) for number in range(len(fractions)))
    if min(fractions) < 0 or not len(rows[0]) or not len(rows[-1]):
        raise DataError(
            f"{path}: {len(authors)} poems by {len(names)} authors leave none to train or none to test on, in shares "
            f"of {', '.join(f'{share:g}' for share in fractions)}; change data.validation and data.test, or add poems"
        )
    return rows


def _read(path: Path) -> Iterator[Poem]:
    """Yield the poems that are whole: four lines of 5 or of 7 letters."""
    for number, line in enumerate(utf8(path).splitlines(), 1):
        fields = unicodedata.normalize("NFC", line).split("\t")
        if len(fields) != 4 or fields[0] not in map(str, FORMS):
            raise DataError(f"{path}, line {number}: expected 5 or 7, author, title and text, with tabs between")
        form, author, title, text = fields
        lines = tuple(part for part in _MARKS.split(text.strip()) if part)
        if len(lines) == LINES and all(len(part) == int(form) and is_verse(part) for part in lines):
            yield Poem(author, " ".join(title.split()), lines)


def _different(poems: Iterator[Poem]) -> Iterator[Poem]:
    seen: set[str] = set()
    for poem in poems:
        if seen.isdisjoint(poem.lines):
            yield poem
        seen.update(poem.lines)


def _known(points: Array) -> str:
    """Return the characters of training poems: the marks of the form first, then the most frequent ones."""
    marks = "".join(map(chr, FORMS)) + chr(SEPARATOR) + STOPS
    return marks + "".join(character for character in alphabet(points) if character not in marks)
