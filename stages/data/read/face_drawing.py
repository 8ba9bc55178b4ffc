"""Faces painted by Pillow: skin, hair, glasses, light and what stands in the way, all by chance."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from stages.data.read.face_form import HEAD, Form, View, on_head
from stages.dataset import Array

Colour = tuple[int, int, int]

_FINE = 2  # painted so many times larger, since Pillow's shapes have hard edges
_SKINS = ((255, 224, 196), (241, 194, 125), (224, 172, 105), (198, 134, 66), (141, 85, 36), (86, 52, 28))
_HAIRS = ((20, 16, 14), (60, 40, 24), (110, 70, 36), (190, 150, 90), (150, 150, 150), (120, 50, 30))
_ROUND = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.column_stack([np.cos(_ROUND), np.sin(_ROUND)])


def face(side: int, channels: int, pose: float, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return uint8 (side, side, channels), 1 or 3, and its points (15, 2), parts of the side; NaN: outside of it."""
    painter = Painter.on(side, generator)
    form, view = Form.drawn(generator), View.drawn(generator, side * _FINE, pose)
    _paint(painter, form, view)
    points = view.project(form.points()) / (side * _FINE)
    inside = ((points >= 0) & (points < 1)).all(axis=1, keepdims=True)
    return painter.finished(side, channels), np.where(inside, points, np.nan)


def blank(side: int, channels: int, pose: float, generator: np.random.Generator) -> Array:
    """Return uint8 (side, side, channels) of a ground without a face; half of the time with a head that has none."""
    painter = Painter.on(side, generator)
    if generator.random() < 0.5:
        _head(painter, Form.drawn(generator), View.drawn(generator, side * _FINE, pose))
    return painter.finished(side, channels)


@dataclass(frozen=True)
class Painter:
    """A canvas, and the chance that decides about colours."""

    canvas: Image.Image
    brush: ImageDraw.ImageDraw
    chance: np.random.Generator

    @classmethod
    def on(cls, side: int, chance: np.random.Generator) -> "Painter":
        """Return a canvas with a ground of smooth patches, stripes and things."""
        canvas = _ground(side * _FINE, chance)
        painter = cls(canvas, ImageDraw.Draw(canvas), chance)
        for _ in range(chance.integers(0, 6)):
            painter.thing()
        return painter

    def shape(self, px: Array, colour: Colour) -> None:
        """Fill an outline (N, 2) in px."""
        self.brush.polygon(px.ravel().tolist(), fill=colour)

    def line(self, px: Array, colour: Colour, width: float) -> None:
        """Draw a line through (N, 2)."""
        self.brush.line(px.ravel().tolist(), fill=colour, width=max(1, round(width)), joint="curve")

    def some(self, colours: tuple[Colour, ...], spread: int = 25) -> Colour:
        """Return one of the colours, changed a little."""
        return shade(colours[self.chance.integers(len(colours))], self.chance.uniform(-spread, spread, 3))

    def any(self) -> Colour:
        """Return any colour."""
        red, green, blue = self.chance.integers(0, 256, 3).tolist()
        return red, green, blue

    def thing(self) -> None:
        """Put an ellipse, a box or a bar anywhere."""
        side = self.canvas.width
        form = _CIRCLE if self.chance.random() < 0.5 else np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        angle = self.chance.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        sides = side * self.chance.uniform(0.03, 0.3, 2)
        self.shape(self.chance.uniform(0, side, 2) + (form * sides) @ turn.T, self.any())

    def finished(self, side: int, channels: int) -> Array:
        """Return the picture in its own size as a camera sees it: lit from one side, a little blurred, noisy."""
        chance = self.chance
        small = self.canvas.convert("L" if channels == 1 else "RGB").reduce(_FINE)
        blurred = small.filter(ImageFilter.GaussianBlur(chance.uniform(0, 0.9)))
        levels = np.asarray(blurred, dtype=np.float32).reshape(side, side, channels) / 255
        across, down = np.meshgrid(*2 * [np.linspace(-1, 1, side, dtype=np.float32)])
        slope = chance.uniform(-0.35, 0.35, 2).astype(np.float32)
        light = np.exp(chance.uniform(-0.5, 0.2)) * (1 + slope[0] * across + slope[1] * down)
        noise = chance.uniform(0, 0.05) * chance.standard_normal((side, side, channels), dtype=np.float32)
        tint = chance.uniform(0.9, 1.1, channels).astype(np.float32)
        seen = (levels * light[..., None] * tint) ** float(np.exp(chance.uniform(-0.3, 0.3))) + noise
        pixels: Array = np.clip(np.round(seen * 255), 0, 255).astype(np.uint8)
        return pixels


def shade(colour: Colour, by: float | Array) -> Colour:
    """Return a colour that is lighter, or darker, by so many levels."""
    red, green, blue = np.clip(np.add(colour, by), 0, 255).astype(int).tolist()
    return red, green, blue


def _ground(side: int, chance: np.random.Generator) -> Image.Image:
    """Return patches of colour that flow into each other, coarse or fine, in some cases under stripes."""
    cells = int(chance.integers(2, 14))
    base, spread = chance.uniform(30, 220, 3), chance.uniform(5, 60)
    patches = np.clip(base + spread * chance.standard_normal((cells, cells, 3)), 0, 255).astype(np.uint8)
    smooth = (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)[int(chance.random() < 0.8)]
    canvas = Image.fromarray(patches).resize((side, side), smooth)
    if chance.random() < 0.25:
        brush, step, shift = ImageDraw.Draw(canvas), chance.integers(6, 40), chance.integers(-side, side)
        colour = tuple(chance.integers(0, 256, 3).tolist())
        for start in range(-side, 2 * side, int(step)):
            brush.line((start, 0, start + int(shift), side), fill=colour, width=max(1, int(step) // 4))
    return canvas


def _paint(painter: Painter, form: Form, view: View) -> None:
    chance = painter.chance
    skin, hair = _head(painter, form, view)
    for side in (1, -1):
        _eye(painter, form, view, side, skin)
        _brow(painter, form, view, side, hair)
    _nose(painter, form, view, skin)
    if chance.random() < 0.2:
        _beard(painter, form, view, hair)
    _mouth(painter, form, view, skin)
    if chance.random() < 0.25:
        _glasses(painter, form, view)
    if chance.random() < 0.15:
        painter.thing()  # in the way


def _head(painter: Painter, form: Form, view: View) -> tuple[Colour, Colour]:
    """Paint hair, neck, ears and skin; return the colours of skin and hair."""
    chance = painter.chance
    skin, hair = painter.some(_SKINS, 12), painter.some(_HAIRS, 12)
    across, down, _ = HEAD
    long = chance.random() < 0.4
    if chance.random() < 0.85:
        size = chance.uniform(1.08, 1.25)
        painter.shape(view.flat(_CIRCLE * (across * size, down * (size if long else 1.08)) - (0, 0.1)), hair)
    if chance.random() < 0.7:
        neck = np.array(
            [[-0.4, 0.6], [0.4, 0.6], [0.45, 1.3], [1.3, 1.7], [1.3, 3], [-1.3, 3], [-1.3, 1.7], [-0.45, 1.3]]
        )
        painter.shape(view.flat(neck[2:]), painter.any())
        painter.shape(view.flat(neck[[0, 1, 2, 7]]), shade(skin, -25))
    turned = view.rotation[2, 0]  # how far the person's left side is turned to the camera
    for side in (1, -1):
        if side * turned > -0.35:
            ear = _CIRCLE * (0.1, 0.17) + (side * across * 0.98, form.eye_y + 0.12)
            painter.shape(view.flat(ear), shade(skin, -15))
    jaw = np.where(_CIRCLE[:, 1:] > 0.2, 1 - chance.uniform(0, 0.25) * _CIRCLE[:, 1:], 1)
    painter.shape(view.flat(_CIRCLE * jaw * (across, 1) * (1, down)), skin)
    if chance.random() < 0.7:  # hair on the forehead
        line = chance.uniform(-0.85, -0.5)
        edge = np.linspace(-0.62, 0.62, 9)
        fringe = np.column_stack([edge, line + chance.uniform(-0.12, 0.12, 9)])
        top = _CIRCLE[(_CIRCLE[:, 1] < -0.45)] * (across * 1.02, 1.03)
        painter.shape(np.concatenate([view.project(on_head(fringe)), view.flat(top[::-1])]), hair)
    return skin, hair


def _front(view: View, xy: Array, out: float = 0.0) -> Array:
    return view.project(on_head(xy, out))


def _eye(painter: Painter, form: Form, view: View, side: int, skin: Colour) -> None:
    middle = np.array([side * form.eye_x, form.eye_y])
    along = np.linspace(-1, 1, 9)
    lid = 1 - along**2
    lower = middle + np.column_stack([form.eye_width * along, 0.6 * form.opening * lid])
    upper = middle + np.column_stack([form.eye_width * along, -form.opening * lid])
    lower[:, 1] += 0.005 * (1 - side * along)  # the inner corner is a little lower, as `Form.points` has it
    upper[:, 1] += 0.005 * (1 - side * along)
    dark = shade(skin, -90)
    if form.opening:
        outline = np.concatenate([upper, lower[::-1]])
        painter.shape(_front(view, outline), (235, 232, 228))
        gaze = painter.chance.uniform((-0.03, -0.01), (0.03, 0.01))
        iris = min(form.opening * 0.95, 0.06)
        painter.shape(
            _front(view, middle + gaze + _CIRCLE * iris), painter.some(((70, 45, 25), (80, 110, 140), (60, 90, 60)))
        )
        painter.shape(_front(view, middle + gaze + _CIRCLE * iris * 0.5), (10, 10, 12))
        painter.line(_front(view, lower), shade(skin, -50), 0.015 * view.size)
    painter.line(_front(view, upper), dark, 0.03 * view.size)


def _brow(painter: Painter, form: Form, view: View, side: int, hair: Colour) -> None:
    along = np.linspace(-1, 1, 7)
    x = form.eye_x + form.brow_shift + form.brow_width * along
    y = form.brow_y + form.brow_tilt * (along + 1) / 2 - 0.03 * (1 - along**2)
    painter.line(_front(view, np.column_stack([side * x, y])), hair, painter.chance.uniform(0.03, 0.08) * view.size)


def _nose(painter: Painter, form: Form, view: View, skin: Colour) -> None:
    tip = form.points()[10]
    bridge = on_head(np.array([[0.0, form.eye_y + 0.05]]), 0.03)[0]
    wing = painter.chance.uniform(0.07, 0.12)
    wings = on_head(np.array([[-wing, form.nose_y + 0.04], [wing, form.nose_y + 0.04]]), 0.02)
    darker = wings[int(painter.chance.random() < 0.5)]
    painter.shape(view.project(np.stack([bridge, tip, darker])), shade(skin, -30))
    painter.shape(view.project(tip + np.column_stack([0.045 * _CIRCLE, np.zeros(len(_CIRCLE))])), shade(skin, 22))
    for place in wings:
        nostril = (2 * place + tip) / 3 + (0, 0.02, 0)
        painter.shape(view.project(nostril + np.column_stack([_CIRCLE * (0.03, 0.018), 0 * _ROUND])), shade(skin, -90))


def _mouth(painter: Painter, form: Form, view: View, skin: Colour) -> None:
    along = np.linspace(-1, 1, 11)
    arch, rise = 1 - along**2, -form.smile * along**2
    x = form.mouth_width * along

    def edge(offset: float) -> Array:
        return np.column_stack([x, form.mouth_y + rise + offset * arch])

    top, bottom = edge(-form.gape / 2 - form.lips), edge(form.gape / 2 + form.lips)
    inner_top, inner_bottom = edge(-form.gape / 2), edge(form.gape / 2)
    lips = shade(skin, painter.chance.uniform((-40, -80, -75), (10, -35, -30)))
    painter.shape(_front(view, np.concatenate([top, bottom[::-1]])), lips)
    if form.gape:
        teeth = (230, 225, 215) if painter.chance.random() < 0.5 else (60, 20, 20)
        painter.shape(_front(view, np.concatenate([inner_top, inner_bottom[::-1]])), teeth)
    painter.line(_front(view, inner_top), shade(lips, -60), 0.018 * view.size)


def _beard(painter: Painter, form: Form, view: View, hair: Colour) -> None:
    x = np.linspace(-1, 1, 11)
    upper = np.column_stack([0.5 * x, form.mouth_y - 0.16 + 0.05 * x**2])
    lower = np.column_stack([0.55 * x, 0.9 - 0.45 * x**2])
    only_lip = painter.chance.random() < 0.5
    if only_lip:
        upper, lower = upper * (0.5, 1), np.column_stack([0.3 * x, form.mouth_y - 0.06 + 0.08 * x**2])
    painter.shape(_front(view, np.concatenate([upper, lower[::-1]])), hair)


def _glasses(painter: Painter, form: Form, view: View) -> None:
    frame, width = painter.any(), painter.chance.uniform(0.02, 0.05) * view.size
    dark, square = painter.chance.random(2) < (0.3, 0.5)
    bend: Callable[[Array], Array] = (lambda v: np.sign(v) * np.abs(v) ** 0.5) if square else (lambda v: v)
    sizes = painter.chance.uniform((0.16, 0.13), (0.22, 0.19))
    for side in (1, -1):
        rim = _front(view, bend(_CIRCLE) * sizes + (side * form.eye_x, form.eye_y + 0.02), 0.06)
        if dark:
            painter.shape(rim, (25, 25, 30))
        painter.line(np.concatenate([rim, rim[:1]]), frame, width)
    bridge = form.eye_x - sizes[0]
    painter.line(_front(view, np.array([[-bridge, form.eye_y], [bridge, form.eye_y]]), 0.08), frame, width)
