"""Pictures of single characters as a camera might see them: turned, sheared, blurred, uneven, noisy."""

import numpy as np
from PIL import Image, ImageFilter

from stages.dataset import Array


def distorted(glyph: Image.Image, side: int, strength: float, generator: np.random.Generator) -> Array:
    """Return uint8 (side, side) of a square picture, white on black, of twice that side or about.

    `strength` 1: turned by up to 10 degrees, scaled and stretched by up to 15 %, sheared by up to 0.2, moved by up to
    8 %, strokes in half of the cases thicker, blurred by up to 1.2 px, of any contrast above 0.4 and any ground
    that leaves room for it, in half of the cases dark on light, with a gradient and noise of up to 5 %.
    """
    if strength and generator.random() < 0.5:
        glyph = glyph.filter(ImageFilter.MaxFilter(3))
    seen = glyph.transform(
        (side, side), Image.Transform.AFFINE, _affine(glyph.width, side, strength, generator), Image.Resampling.BICUBIC
    )
    blurred = seen.filter(ImageFilter.GaussianBlur(strength * generator.uniform(0, 1.2)))
    levels = np.asarray(blurred, dtype=np.float64) / 255
    contrast = 1 - strength * generator.uniform(0, 0.6)
    ground = generator.uniform(0, 1 - contrast)
    levels = ground + contrast * (1 - levels if strength and generator.random() < 0.5 else levels)
    across, along = np.meshgrid(*2 * [np.linspace(-1, 1, side)])
    slope = strength * generator.uniform(-0.1, 0.1, 2)
    noise = strength * generator.uniform(0, 0.05) * generator.standard_normal((side, side))
    shaded = levels + slope[0] * across + slope[1] * along + noise
    pixels: Array = np.clip(np.round(shaded * 255), 0, 255).astype(np.uint8)
    return pixels


def _affine(source: int, side: int, strength: float, generator: np.random.Generator) -> tuple[float, ...]:
    """Return what PIL wants: the six numbers that lead from a target's pixel to the source's."""
    angle = np.deg2rad(strength * generator.uniform(-10, 10))
    scale = source / side * np.exp(strength * generator.uniform(-0.15, 0.15, 2))
    shear = strength * generator.uniform(-0.2, 0.2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, shear], [0, 1]]) @ np.diag(scale)
    move = strength * generator.uniform(-0.08, 0.08, 2) * source
    at = source / 2 + move - matrix @ np.array([side / 2, side / 2])
    return (matrix[0, 0], matrix[0, 1], at[0], matrix[1, 0], matrix[1, 1], at[1])
