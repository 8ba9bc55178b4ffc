import itertools

import numpy as np

from deploy.quatrain import FORMS, LINES, SEPARATOR, STOPS, encode
from stages.dataset import TEXT, DataInfo, Dataset, Split
from stages.recipe import TrainConfig, use
from stages.split import digest
from tests.contract.tasks.problem import Problem

CYCLE = "天地玄黃宇宙洪荒日月盈昃辰宿列張"
"""Each character is followed by the next one."""


def cycles() -> Dataset:
    """Poems of five and of seven characters a line that go round the cycle from where their title says."""

    def poem(start: int, form: int) -> list[int]:
        verse = "".join(CYCLE[(start + place) % len(CYCLE)] for place in range(LINES * form))
        return encode(f"其{CYCLE[start]}" if start % 5 else "", verse, form)

    def split(starts: list[int]) -> Split:
        rows = [poem(start % len(CYCLE), (5, 7)[start % 2]) for start in starts]
        inputs = np.array([row + [0] * (40 - len(row)) for row in rows], np.int32)
        return Split(inputs, np.array([LINES * row[0] for row in rows]))

    parts = split([*range(96)]), split([*range(12)]), split([*range(4, 28)])
    marks = "".join(map(chr, FORMS)) + chr(SEPARATOR) + STOPS
    info = DataInfo("cycles", TEXT, (), digest(*parts), "generated", alphabet=f"{marks}其{CYCLE}")
    return Dataset(info, *parts)


def right(result, data: Dataset) -> None:
    assert result.title == "其月"
    assert [len(line) for line in result.lines] == [8] * 4
    assert [line[-1] for line in result.lines] == list(STOPS * 2)
    verse = result.text.translate(dict.fromkeys(map(ord, STOPS)))
    assert sum(after in f"{CYCLE}{CYCLE[0]}" for after in map("".join, itertools.pairwise(verse))) > 20
    assert result.text in result.to_file().decode().replace("\n", "")


PROBLEM = Problem(
    dataset=cycles,
    input=use("text", lowercase=False),
    model=use("causal_cnn", channels=16, layers=3, dropout=0.0, embedding_dropout=0.0),
    task=use("generate"),
    train=TrainConfig(epochs=10, batch_size=16, lr=2e-2, schedule="onecycle"),
    sample=lambda _: {"title": "其月", "form": 7, "seed": 3, "temperature": 0.1},
    right=right,
    least={"log_likelihood": -0.7, "well_formed": 1.0},
    edges=lambda _: [
        {"title": "", "seed": 1},
        {"title": "a title of letters never seen", "seed": 1},
        {"first_line": "天地玄黃宇", "seed": 2, "top_k": 1, "temperature": 100.0},
        {"first_line": "長長長長長長長，", "seed": 2, "temperature": 0},
    ],
    wrong=[
        ({"form": 6}, "expected 5 or 7"),
        ({"titel": "春"}, "did you mean 'title'"),
        ({"first_line": "天地玄，黃"}, "first_line: is '天地玄，黃', expected 5 or 7 Chinese characters"),
        ([], "holds no wish"),
    ],
    drawn=False,
)
