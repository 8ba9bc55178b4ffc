"""One raw sample of each kind, shown on a page."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages import discover
from stages.report import samples
from stages.report.samples import drawer


def pixels(html: str) -> list[Any]:
    """Return the pictures in a piece of HTML as arrays."""
    found = re.findall(r"data:image/png;base64,([^\"]+)", html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def test_every_kind_of_input_is_shown() -> None:
    assert set(discover.found("inputs")) <= {path.stem for path in Path(samples.__file__).parent.glob("*.py")}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture(channels: int) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    (shown,) = pixels(drawer("image")(raw, "a cat"))
    assert np.array_equal(shown, raw[..., 0] if channels == 1 else raw[..., :3])


def test_a_varied_picture_is_float_and_may_overshoot() -> None:
    (shown,) = pixels(drawer("image")(np.array([[[-3.0], [300.0], [99.6]]]), "a cat"))
    assert shown.tolist() == [[0, 255, 100]]


def test_a_large_picture_is_made_smaller() -> None:
    (shown,) = pixels(drawer("image")(np.zeros((600, 1200, 3), np.uint8), "a field"))
    assert shown.shape == (128, 256, 3)


def test_a_series_is_a_line_for_each_channel() -> None:
    raw = np.array([[0, 1, np.nan, 3, 4], [4, 3, 2, 1, 0]], np.float32)
    html = drawer("series")(raw, "two <channels>")
    first, second = re.findall(r' d="([^"]*)"', html)
    assert (first.count("M"), first.count("L")) == (2, 2)  # the gap is left open
    assert (second.count("M"), second.count("L")) == (1, 4)
    assert 'aria-label="two &lt;channels&gt;"' in html


@pytest.mark.parametrize("length", [0, 1, 2, 300, 301, 10_007])
def test_series_of_any_length(length: int) -> None:
    html = drawer("series")(np.ones((1, length), np.float32), "flat")
    assert len(re.findall(r"[ML][\d.]+ [\d.]+", html)) <= 300
    assert "nan" not in html


@pytest.mark.parametrize("shape", [(4, 6, 8), (4, 6, 8, 1), (4, 6, 8, 2)])
def test_a_volume_is_three_middle_slices(shape: tuple[int, ...]) -> None:
    raw = np.random.default_rng(0).normal(size=shape)
    html = drawer("volume")(raw, "a head")
    assert [picture.shape for picture in pixels(html)] == [(6, 8), (4, 8), (4, 6)]
    assert html.count("a head, middle slice across the ") == 3


def test_text_is_itself_without_its_padding() -> None:
    points = [ord(letter) for letter in "<b>山水</b>"]
    html = drawer("text")(np.array([*points, 0, 0, -1], np.int32), "a verse")
    assert ">&lt;b&gt;山水&lt;/b&gt;</q>" in html


def test_long_text_is_cut() -> None:
    html = drawer("text")(np.full(5000, ord("a"), np.int32), "a novel")
    assert 300 < html.count("a") < 500
    assert "…" in html


def test_a_spectral_patch_in_false_colour() -> None:
    raw = np.zeros((4, 3, 5), np.uint8)
    raw[3], raw[1], raw[0] = 200, 100, 50  # near infrared, red, green
    (shown,) = pixels(drawer("spectral")(raw, "a field"))
    assert shown.shape == (3, 5, 3)
    assert shown[0, 0].tolist() == [200, 100, 50]


def test_a_kind_without_a_picture_is_told() -> None:
    assert "2 x 3, 0 to 5" in drawer("unheard_of")(np.arange(6).reshape(2, 3), "x")


def test_a_history() -> None:
    draw = drawer("history")
    assert draw(np.array([7, 0, 318, 296], np.int32), "a user") == (
        '<span class="text" title="a user">user 7: 318, 296</span>'
    )
    assert "nobody known: nothing<" in draw(np.zeros(3, np.int32), "nobody")
    assert "user 7: 2 more, 3, 4, " in draw(np.array([7, *range(1, 13)], np.int32), "a user")
