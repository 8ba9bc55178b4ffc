"""What a stage tells, on a terminal: one moving line where there is one, plain lines elsewhere."""

import sys
import time
from typing import TextIO

from stages.observer import Observer

_BAR = 24
_REDRAW_S = 0.1


class Console(Observer):
    """Lines on stderr, and while it is a terminal a progress line with rate, time left and note (the loss)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._moving = self._stream.isatty()
        self._shown = ""
        self._started = (0, 0.0)
        self._last = (-1, 0.0)

    def say(self, line: str) -> None:
        """Print one line, above the progress line if there is one."""
        self.clear()
        self._stream.write(f"  {line}\n")
        self._stream.flush()

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Print the figures of one epoch."""
        figures = "  ".join(f"{name} {_figure(value)}" for name, value in values.items())
        self.say(f"epoch {step:>3}  {figures}")

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Move the progress line; on anything but a terminal say nothing."""
        if not self._moving:
            return
        now = time.monotonic()
        previous, drawn = self._last
        if done <= previous or previous < 0:
            self._started = (done, now)
        elif now - drawn < _REDRAW_S and done < total:
            return
        self._last = (done, now)
        self._draw(bar_line(done, total, done - self._started[0], now - self._started[1], note))
        if done >= total:
            self.clear()
            self._last = (-1, 0.0)

    def clear(self) -> None:
        """Wipe the progress line."""
        if self._shown:
            self._stream.write("\r" + " " * len(self._shown) + "\r")
            self._stream.flush()
        self._shown = ""

    def _draw(self, line: str) -> None:
        padding = " " * max(0, len(self._shown) - len(line))
        self._stream.write(f"\r{line}{padding}")
        self._stream.flush()
        self._shown = line


class Tee(Observer):
    """Passes everything on to several observers, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def say(self, line: str) -> None:
        """Pass a line on."""
        for observer in self._observers:
            observer.say(line)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Pass progress on."""
        for observer in self._observers:
            observer.progress(done, total, note)

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Pass figures on."""
        for observer in self._observers:
            observer.metrics(values, step)


def bar_line(done: int, total: int, since: int, seconds: float, note: str) -> str:
    """Return the progress line: bar, percent, steps, rate over the last `seconds`, time left, note."""
    share = done / total if total else 1.0
    filled = round(share * _BAR)
    line = f"  [{'#' * filled}{'.' * (_BAR - filled)}] {share:4.0%} {done}/{total}"
    if since > 0 and seconds > 0:
        rate = since / seconds
        line += f"  {rate:.1f}/s  {_duration((total - done) / rate)} left"
    return f"{line}  {note}" if note else line


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
