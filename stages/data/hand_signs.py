"""Hand signs as emoji, 32 x 32 px: each in six skin tones, drawn by two vendors (Twemoji and Noto)."""

from pathlib import Path

import numpy as np

from stages.data.read.archive import read_npz
from stages.dataset import Dataset, Split
from stages.errors import DataError
from stages.split import dataset

SIGNS = (
    "wave", "raised_back_of_hand", "raised_hand_with_fingers_splayed", "hand", "spock-hand", "rightwards_hand",
    "leftwards_hand", "palm_down_hand", "palm_up_hand", "ok_hand", "pinched_fingers", "pinching_hand", "v",
    "crossed_fingers", "hand_with_index_finger_and_thumb_crossed", "i_love_you_hand_sign", "the_horns",
    "call_me_hand", "point_left", "point_right", "point_up_2", "middle_finger", "point_down", "point_up",
    "index_pointing_at_the_viewer", "+1", "-1", "fist", "facepunch", "left-facing_fist", "right-facing_fist", "clap",
    "raised_hands", "heart_hands", "open_hands", "palms_up_together", "pray", "writing_hand", "nail_care", "selfie",
    "muscle", "leftwards_pushing_hand", "rightwards_pushing_hand",
)  # fmt: skip
_TONES = 6  # without a tone, and five of Fitzpatrick's scale


def hand_signs(root: Path, *, test_vendor: int = 1, validation_tones: int = 1, seed: int = 0) -> Dataset:
    """Which of 43 signs; trained on one vendor's drawings and tested on the other's, from `root`/emoji.

    `test_vendor` 0 is Twemoji, 1 Noto. Of the vendor to train on, `validation_tones` skin tones, drawn by `seed`, are
    held out: validation tells whether a known drawing is known in another colour, the test whether the sign is.
    """
    path = root / "emoji" / "emoji_32x32_rgb.npz"
    hint = "make it of Twemoji and Noto Emoji (x vendor skin name), or name another data root: --data-root"
    arrays = read_npz(path, ("x", "vendor", "skin", "name"), hint)
    if test_vendor not in (0, 1) or not 0 <= validation_tones < _TONES:
        raise DataError(
            f"hand_signs: test_vendor={test_vendor} and validation_tones={validation_tones}, expected 0 or 1, and "
            f"0 to {_TONES - 1}"
        )
    index = {name: number for number, name in enumerate(SIGNS)}
    targets = np.array([index.get(name, -1) for name in arrays["name"].tolist()], dtype=np.int64)
    missing = [name for name, number in index.items() if np.count_nonzero(targets == number) != 2 * _TONES]
    if missing:
        raise DataError(
            f"{path}: has not {2 * _TONES} pictures of {missing[0]!r} (and of {len(missing) - 1} others); {hint}"
        )
    held = np.random.default_rng(seed).permutation(_TONES)[:validation_tones]
    own = (arrays["vendor"] != test_vendor) & (targets >= 0)
    in_held = np.isin(arrays["skin"], held)
    masks = (own & ~in_held, own & in_held, (arrays["vendor"] == test_vendor) & (targets >= 0))
    train, validation, test = (Split(arrays["x"][mask], targets[mask]) for mask in masks)
    licence = "Twemoji (CC BY 4.0), Noto Emoji (Apache-2.0)"
    labels = tuple(name.replace("_", " ") for name in SIGNS)
    return dataset("hand_signs", ("height", "width", 3), labels, licence, (train, validation, test))
