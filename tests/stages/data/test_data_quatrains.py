"""Quatrains: whole poems, each once, nobody's in two parts."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.quatrain import FORMS, LINES, encode
from stages.data import quatrains as source
from stages.data.quatrains import by_author, quatrains
from stages.dataset import Dataset
from tests import miniatures
from tests.stages.data.kit import refused


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("poems")
    (folder / "text").mkdir()
    miniatures._poems(folder / "text")
    return folder


def texts(data: Dataset) -> dict[str, list[str]]:
    return {
        part: ["".join(chr(point) for point in row if point) for row in getattr(data, part).inputs]
        for part in ("train", "validation", "test")
    }


def poets(root: Path) -> dict[str, str]:
    """Authors by the first five letters of a poem."""
    table = gzip.decompress((root / "text" / "tang_quatrains.tsv.gz").read_bytes()).decode()
    rows: Iterator[list[str]] = (line.split("\t") for line in table.splitlines())
    return {text[:5]: author for _, author, _, text in rows if author != "author 19"}


def test_rows_are_poems_as_they_are_served(root: Path) -> None:
    data = quatrains(root)
    for part in (data.train, data.validation, data.test):
        assert part.inputs.dtype == np.int32
        for row, letters in zip(part.inputs, part.targets, strict=True):
            text = "".join(chr(point) for point in row if point)
            title, verse = text[1:].split("\n")
            plain = verse.replace("，", "").replace("。", "")
            assert encode(title, plain, int(row[0])) == [point for point in row.tolist() if point]
            assert row[0] in FORMS
            assert letters == LINES * row[0] == len(plain)


def test_nobody_who_is_tested_on_is_trained_on(root: Path) -> None:
    authors = poets(root)
    for seed in range(3):
        found = texts(quatrains(root, seed=seed, validation=0.2, test=0.2))
        by_part = [{authors[text.split("\n")[1][:5]] for text in rows if text.split("\n")[1][:5] in authors}
                   for rows in found.values()]  # fmt: skip
        assert all(by_part)
        assert sum(map(len, by_part)) == len(set.union(*by_part))


def test_every_poem_is_taken_once_and_gaps_are_left_out(root: Path) -> None:
    data = quatrains(root)
    every = [text for rows in texts(data).values() for text in rows]
    assert len(every) == 201  # of 203: one stands twice, one has a gap
    assert not any("□" in text or "殘" in text for text in every)
    (other,) = [text for text in every if "\x05問" in text]
    assert other == "\x05問\n天地玄霜宇，宙洪玉日月。盈昃水宿列，張寒岡暑往。"  # its marks were others
    assert data.info.sizes == {name: len(rows) for name, rows in texts(data).items()}


def test_the_alphabet_begins_with_the_marks_and_is_of_training_poems(root: Path) -> None:
    data = quatrains(root)
    known = data.info.alphabet
    assert known.startswith("\x05\x07\n，。")
    assert len(set(known)) == len(known)
    assert set(known) == set("".join(texts(data)["train"]))


def test_titles_are_cut(root: Path) -> None:
    rows = texts(quatrains(root, longest_title=1))["train"]
    assert {text.index("\n") for text in rows} == {2}


def test_parts_have_their_shares_and_depend_on_the_seed() -> None:
    authors = [f"a{number}" for number in range(200) for _ in range(5)]
    parts = by_author(Path("poems"), authors, (0.8, 0.05, 0.15), 0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    assert [abs(len(part) / 1000 - share) < 0.011 for part, share in zip(parts, (0.8, 0.05, 0.15), strict=True)]
    assert not np.array_equal(parts[2], by_author(Path("poems"), authors, (0.8, 0.05, 0.15), 1)[2])


def test_what_makes_no_dataset_is_named(root: Path, tmp_path: Path) -> None:
    refused(lambda: quatrains(tmp_path), "tang_quatrains.tsv.gz: missing", "--data-root")
    refused(lambda: quatrains(root, test=0.0), "leave none to train or none to test on", "data.test")
    (tmp_path / "text").mkdir()
    path = tmp_path / "text" / source._FILE.name
    for table in ("6\ta\tb\t" + "天地玄黃宇，" * 4, "5\ta\tb"):
        path.write_bytes(gzip.compress(f"5\ta\tb\t天地玄黃宇，宙洪荒日月。盈昃辰宿列，張寒來暑往。\n{table}".encode()))
        refused(lambda: quatrains(tmp_path), "line 2: expected 5 or 7, author, title and text")


def test_the_real_file(real_data: Path) -> None:
    data = quatrains(real_data)
    assert data.info.sizes == {"train": 11405, "validation": 523, "test": 1525}
    assert len(data.info.alphabet) == 5412
