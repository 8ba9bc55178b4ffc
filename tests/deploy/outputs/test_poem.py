"""Poems as results."""

import numpy as np
import pytest

from deploy.bundle import Signature
from deploy.errors import UsageError
from deploy.outputs import output_kind
from deploy.outputs.poem import Poem

KIND = output_kind(Signature("poem", ()))
LINES = ("春眠不覺曉，", "處處聞啼鳥。", "夜來風雨聲，", "花落知多少。")


def row(text: str, length: int) -> list[int]:
    return [*map(ord, text), *[0] * (length - len(text))]


def test_poems_are_read_from_code_points() -> None:
    verse = "春眠不覺曉處處聞啼鳥夜來風雨聲花落知多少"
    arrays = {
        "title": np.array([row("春曉", 8), row("", 8)], np.int32),
        "verse": np.array([row(verse, 28), row("天" * 28, 28)], np.int32),
        "form": np.array([5, 7]),
        "seed": np.array([1, 2]),
    }
    first, second = KIND.read(arrays, {})
    assert first == Poem("春曉", LINES, 1)
    assert second == Poem("", ("天天天天天天天，", "天天天天天天天。") * 2, 2)


def test_a_poem_has_json_and_a_file() -> None:
    poem = Poem("春曉", LINES, 1)
    assert poem.text == "".join(LINES)
    assert poem.to_dict() == {"title": "春曉", "text": poem.text, "lines": list(LINES), "seed": 1}
    assert poem.to_file().decode() == "春曉\n\n" + "\n".join(LINES) + "\n"
    assert Poem("", LINES, 1).to_file().decode() == "\n".join(LINES) + "\n"


def test_one_step_is_no_poem() -> None:
    with pytest.raises(UsageError, match="tensors of one step are no poem yet"):
        KIND.read({"probabilities": np.ones((1, 3), np.float32)}, {})
