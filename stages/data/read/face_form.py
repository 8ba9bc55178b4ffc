"""A made-up face in three dimensions: its fifteen points, and where a camera sees them."""

from dataclasses import dataclass

import numpy as np

from stages.dataset import Array

NAMES = (
    "left_eye_center", "right_eye_center", "left_eye_inner_corner", "left_eye_outer_corner", "right_eye_inner_corner",
    "right_eye_outer_corner", "left_eyebrow_inner_end", "left_eyebrow_outer_end", "right_eyebrow_inner_end",
    "right_eyebrow_outer_end", "nose_tip", "mouth_left_corner", "mouth_right_corner", "mouth_center_top_lip",
    "mouth_center_bottom_lip",
)  # fmt: skip
"""The points of Kaggle's "Facial Keypoints Detection"; left is the person's own, on the right of the picture."""

HEAD = (0.76, 1.0, 0.8)  # half axes of the head: across, down, towards the camera; its half height is the unit


@dataclass(frozen=True)
class Form:
    """What one face looks like and does; lengths in half heights of the head, from its middle.

    eye_x, eye_y, eye_width       middle of the person's left eye, half its width
    opening                       half the height of the open eye; 0: shut
    brow_y, brow_width, brow_tilt, brow_shift    middle, half width; how far the outer end is lower; how far it is out
    nose_y, nose_z                tip, and how far it stands out
    mouth_y, mouth_width, lips, gape, smile      middle, half width, thickness, opening, how far the corners are higher
    """

    eye_x: float
    eye_y: float
    eye_width: float
    opening: float
    brow_y: float
    brow_width: float
    brow_tilt: float
    brow_shift: float
    nose_y: float
    nose_z: float
    mouth_y: float
    mouth_width: float
    lips: float
    gape: float
    smile: float

    @classmethod
    def drawn(cls, generator: np.random.Generator) -> "Form":
        """Return a form by chance."""
        between = generator.uniform
        eye_y, eye_x = between(-0.22, -0.1), between(0.27, 0.34)
        shut, silent = generator.random(2) < (0.08, 0.6)
        return cls(
            eye_x=eye_x,
            eye_y=eye_y,
            eye_width=between(0.1, 0.14),
            opening=0.0 if shut else between(0.035, 0.075),
            brow_y=eye_y - between(0.13, 0.24),
            brow_width=between(0.13, 0.19),
            brow_tilt=between(-0.03, 0.06),
            brow_shift=between(0.0, 0.05),
            nose_y=between(0.14, 0.26),
            nose_z=between(0.08, 0.24),
            mouth_y=between(0.44, 0.56),
            mouth_width=between(0.17, 0.31),
            lips=between(0.03, 0.07),
            gape=0.0 if silent else between(0.01, 0.14),
            smile=between(-0.04, 0.08),
        )

    def points(self) -> Array:
        """Return the places of `NAMES`, (15, 3)."""
        eye = [(self.eye_x, self.eye_y), (self.eye_x - self.eye_width, self.eye_y + 0.01),
               (self.eye_x + self.eye_width, self.eye_y)]  # fmt: skip
        brow = [(self.eye_x + self.brow_shift - self.brow_width, self.brow_y),
                (self.eye_x + self.brow_shift + self.brow_width, self.brow_y + self.brow_tilt)]  # fmt: skip
        centre, inner, outer = eye
        corner, lip = (self.mouth_width, self.mouth_y - self.smile), self.gape / 2 + self.lips
        flat = [centre, _other(centre), inner, outer, _other(inner), _other(outer), *brow, *map(_other, brow)]
        flat += [(0.0, self.nose_y), corner, _other(corner), (0.0, self.mouth_y - lip), (0.0, self.mouth_y + lip)]
        places = on_head(np.array(flat))
        places[NAMES.index("nose_tip"), 2] += self.nose_z
        return places


def _other(place: tuple[float, float]) -> tuple[float, float]:
    return -place[0], place[1]


def on_head(xy: Array, out: float = 0.0) -> Array:
    """Return places (N, 3) on the head's front, `out` above its surface, for (N, 2) seen from the front."""
    across, down, towards = HEAD
    inside = 1 - (xy[:, 0] / across) ** 2 - (xy[:, 1] / down) ** 2
    return np.column_stack([xy, towards * np.sqrt(np.clip(inside, 0, None)) + out])


@dataclass(frozen=True)
class View:
    """Where the head is in the picture, in px, and how it is turned.

    rotation    (3, 3): yaw, then pitch, then roll
    roll        (2, 2): the last of them alone, for what looks alike from all sides
    size        half height of the head; centre (2,): of its middle
    """

    rotation: Array
    roll: Array
    size: float
    centre: Array

    @classmethod
    def drawn(cls, generator: np.random.Generator, side: int, pose: float) -> "View":
        """Return a view by chance on a picture of `side` px.

        With `pose` 1 a head of half to nine tenths of its height, anywhere it fits into, turned by up to 35 degrees to
        the sides, 20 up and down, and by a normal 10, 30 at most, in the picture; 0: seven tenths, upright, from the
        front, in the middle.
        """
        yaw, pitch = pose * np.deg2rad(generator.uniform((-35, -20), (35, 20)))
        roll = pose * np.deg2rad(np.clip(generator.normal(0, 10), -30, 30))
        size = side * (0.35 + pose * generator.uniform(-0.1, 0.1))
        room = pose * max(side / 2 - 0.75 * size, 0)
        centre = side / 2 + generator.uniform(-room, room, 2)
        turned = _turn(roll)
        whole = np.eye(3)
        whole[:2, :2] = turned
        nod, shake = np.eye(3), np.eye(3)
        nod[1:, 1:] = _turn(pitch)
        shake[np.ix_([0, 2], [0, 2])] = _turn(-yaw)
        return cls(whole @ nod @ shake, turned, size, centre)

    def project(self, places: Array) -> Array:
        """Return px (N, 2) of places (N, 3), by parallel rays."""
        seen: Array = self.centre + self.size * (places @ self.rotation.T)[:, :2]
        return seen

    def flat(self, xy: Array) -> Array:
        """Return px (N, 2) of an outline (N, 2) that looks alike from all sides: only rolled."""
        seen: Array = self.centre + self.size * (xy @ self.roll.T)
        return seen


def _turn(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
