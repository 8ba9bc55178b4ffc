"""Films and other items that users took, in the order in which they did."""

import csv
import io

import numpy as np
import pytest

from stages.data.csv_interactions import csv_interactions
from stages.data.movielens import movielens
from stages.dataset import Dataset
from tests.stages.data.kit import refused, sound

ROWS = [(7, 30, 5), (7, 10, 1), (7, 20, 1), (7, 30, 9), (2, 10, 4), (2, 40, 3), (2, 50, 2), (2, 60, 1), (9, 20, 8)]


@pytest.fixture
def table(tmp_path):
    def write(rows, header=("user", "item", "time")):
        text = io.StringIO()
        csv.writer(text).writerows([header, *rows])
        (tmp_path / "mine.csv").write_text(text.getvalue())
        return str(tmp_path / "mine.csv")

    return write


@pytest.fixture
def mine(tmp_path, table) -> Dataset:
    return csv_interactions(tmp_path, path=table(ROWS), longest=2)


def test_the_last_is_test_and_the_one_before_validation(mine: Dataset) -> None:
    assert mine.info.ids == {"users": (2, 7, 9), "items": (10, 20, 30, 40, 50, 60)}
    items = np.array(mine.info.ids["items"])
    # At one time the file's order counts; of an item taken again the first time.
    assert mine.test.inputs.tolist() == [[2, 60, 50, 40], [7, 0, 10, 20]]
    assert items[mine.test.targets[:, 0]].tolist() == [10, 30]
    assert mine.validation.inputs.tolist() == [[2, 60, 50], [7, 0, 10]]
    assert items[mine.validation.targets[:, 0]].tolist() == [40, 20]


def test_every_other_item_is_trained_on_with_those_before_it(mine: Dataset) -> None:
    rows = [[*row, int(item)] for row, item in zip(mine.train.inputs.tolist(), mine.train.targets, strict=True)]
    assert rows == [[2, 0, 0, 5], [2, 0, 60, 4], [7, 0, 0, 0], [9, 0, 0, 1]]
    assert mine.info.counts == (1, 1, 0, 0, 1, 1)


def test_negatives_were_never_taken_and_are_the_same_always(tmp_path, table, mine: Dataset) -> None:
    for split in (mine.validation, mine.test):
        assert split.targets.shape == (2, 3)  # one user took four of six items
        taken = {2: {0, 3, 4, 5}, 7: {0, 1, 2}}
        for row, target in zip(split.inputs, split.targets, strict=True):
            assert not taken[int(row[0])] & set(target[1:].tolist())
            assert len(set(target.tolist())) == 3
    again = csv_interactions(tmp_path, path=table(ROWS), longest=2)
    assert again.info.digest == mine.info.digest
    other = csv_interactions(tmp_path, path=table([*ROWS[:-1], (9, 30, 8)]), longest=2)
    assert other.info.digest != mine.info.digest


def test_movielens(generated_data) -> None:
    data = movielens(generated_data)
    sound(data)
    assert data.info.labels[0].endswith(f"({1950 + data.info.ids['items'][0] // 3})")
    assert data.info.ids["users"] == tuple(range(1, 51))
    assert data.train.inputs.shape[1] == 21
    assert data.test.targets.shape[1] > 30
    assert data.info.alphabet == ""


def test_titles_of_ones_own(tmp_path, table) -> None:
    rows = [(*row, f"thing {row[1]}") for row in ROWS]
    data = csv_interactions(
        tmp_path, path=table(rows, ("u", "i", "t", "name")), user="u", item="i", time="t", title="name"
    )
    sound(data)
    assert data.info.labels[:2] == ("thing 10", "thing 20")


def test_what_cannot_be_learnt_from_is_refused_in_words(tmp_path, table) -> None:
    def made(rows, **options):
        return lambda: csv_interactions(tmp_path, path=table(rows), **options)

    refused(made([(0, 1, 1)]), "user 0", "from 1 to 2147483647")
    refused(made([("Ann", 1, 1)]), "line 2", "'Ann'", "number users and items")
    refused(made([(1, 2**40, 1)]), f"item {2**40}")
    refused(made(ROWS, user="usr"), "no column 'usr'", "data.user=COLUMN")
    refused(made(ROWS, longest=0), "data.longest is 0")
    refused(made([(1, 1, 1), (1, 2, 2)]), "no user has three items")
    refused(made([(1, 1, 1), (1, 2, 2), (1, 3, 3)]), "took all 3 items")
    refused(lambda: movielens(tmp_path), "missing", "--data-root")
