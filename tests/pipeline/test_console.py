"""What a person sees while a stage works."""

import io

import pytest

from pipeline import console
from pipeline.console import Console, Tee, bar_line
from stages.observer import Observer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_where_nothing_moves() -> None:
    stream = io.StringIO()
    observer = Console(stream)
    observer.say("training on the CPU")
    observer.progress(1, 2, "epoch 1")
    observer.metrics({"train_loss": 0.51234, "images_per_second": 12000.0}, 1)
    assert stream.getvalue() == ("  training on the CPU\n  epoch   1  train_loss 0.5123  images_per_second 12,000\n")


def test_a_moving_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 1.05, 2.0, 4.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(now))
    stream = Terminal()
    observer = Console(stream)
    observer.progress(0, 100)
    observer.progress(10, 100, "loss 0.5")
    observer.progress(11, 100)  # 50 ms later: too soon to draw
    observer.progress(20, 100, "loss 0.4")
    drawn = stream.getvalue().split("\r")[1:]
    assert [line.strip() for line in drawn] == [
        "[........................]   0% 0/100",
        "[##......................]  10% 10/100  10.0/s  0:09 left  loss 0.5",
        "[#####...................]  20% 20/100  10.0/s  0:08 left  loss 0.4",
    ]
    observer.say("a line")
    assert stream.getvalue().endswith(" \r  a line\n")
    observer.progress(100, 100)
    assert stream.getvalue().endswith(" \r")


def test_long_times_show_hours() -> None:
    assert "  1.0/s  2:46:30 left" in bar_line(10, 10_000, 10, 10, "")


def test_a_tee_tells_everybody() -> None:
    heard: list[tuple[object, ...]] = []

    class Ear(Observer):
        def say(self, line: str) -> None:
            heard.append((line,))

        def progress(self, done: int, total: int, note: str = "") -> None:
            heard.append((done, total, note))

        def metrics(self, values: dict[str, float], step: int) -> None:
            heard.append((values, step))

    both = Tee(Ear(), Ear())
    both.say("x")
    both.progress(1, 2, "y")
    both.metrics({"z": 1.0}, 3)
    assert heard == [("x",)] * 2 + [(1, 2, "y")] * 2 + [({"z": 1.0}, 3)] * 2
