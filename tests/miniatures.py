"""Small files in the form of the real data sets, made up: `write_all(root)`, so that every source finds its own."""

import bz2
import csv
import gzip
import io
from pathlib import Path

import numpy as np

from stages.data.hand_signs import SIGNS

_GOOD, _BAD = ("fine", "moving", "a joy", "clever"), ("dull", "flat", "a bore", "lazy")
_THINGS = ("film", "plot", "cast", "score", "end", "script", "hero", "war", "song", "dog", "city", "ride")


def write_all(root: Path) -> None:
    """Write all of them below a data root."""
    generator = np.random.default_rng(0)
    for name in ("timeseries", "text", "landsat", "emoji", "volumes", "medical2d", "recommender", "faces"):
        (root / name).mkdir()
    _series(root / "timeseries", generator)
    _texts(root / "text")
    _poems(root / "text")
    _landsat(root / "landsat", generator)
    _emoji(root / "emoji", generator)
    _brains(root / "volumes", generator)
    _nuclei(root / "medical2d", generator)
    _textures(root / "medical2d", generator)
    _ratings(root / "recommender", generator)
    _faces(root / "faces", generator)


def _series(folder: Path, generator: np.random.Generator) -> None:
    """Waves by their number of periods, named as the sets that recipes use."""
    forms = {"GunPoint": (2, 1, 60), "ArrowHead": (3, 1, 70), "ItalyPowerDemand": (2, 1, 24), "Coffee": (2, 1, 80),
             "BasicMotions": (4, 6, 50), "PickupGestureWiimoteZ_eq": (10, 1, 64)}  # fmt: skip
    for name, (classes, channels, length) in forms.items():
        targets = np.arange(64) % classes
        phases = 2 * np.pi * (targets[:, None, None] + 1) * np.linspace(0, 1, length) + generator.random(
            (64, channels, 1)
        )
        waves = np.sin(phases) + 0.05 * generator.standard_normal(phases.shape)
        x = waves.astype(np.float32)
        np.savez(folder / f"{name}.npz", xtr=x, ytr=targets, xte=x[::-1], yte=targets[::-1],
                 classes=np.arange(classes).astype(str))  # fmt: skip


def _texts(folder: Path) -> None:
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["category", "text", "movie_name", "has_plot_and_reviews"])
    rows.writerow(["plot", "A dog walks into a city and is never seen again.", "dog", "True"])
    for category, words in (("fresh", _GOOD), ("rotten", _BAD), ("fresh", _GOOD[:1])):
        rows.writerows(
            [category, f"The {thing} is {word}, mostly.", "dog", "True"] for thing in _THINGS for word in words
        )
    rows.writerow(["fresh", "Undecided.", "dog", "True"])
    rows.writerow(["rotten", "Undecided.", "dog", "True"])
    (folder / "rotten_tomatoes_corpus_full.csv.bz2").write_bytes(bz2.compress(table.getvalue().encode()))
    for name, words in (("pos", "好棒快美"), ("neg", "差坏慢丑")):
        lines = [f"这个{thing}很{word}。" for word in words for thing in "书店车房机包鞋衣菜酒"]
        (folder / f"zh_reviews_{name}.txt.gz").write_bytes(gzip.compress("\n".join([*lines, *lines, ""]).encode()))


def _poems(folder: Path) -> None:
    """Poems of both forms by 20 authors; one twice, one with a gap and one with other marks between its lines."""
    letters = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂調陽雲騰致雨露結爲霜金生麗水玉出崑岡"
    rows, generator = [], np.random.default_rng(0)
    for number in range(200):
        form = (5, 7)[number % 2]
        lines = ["".join(letters[place] for place in generator.integers(0, 48, form)) for _ in range(4)]
        rows.append((form, f"author {number // 10}", f"{letters[number % 48]}詩", "{}，{}。{}，{}。".format(*lines)))
    form, _, title, text = rows[0]
    rows += [
        (form, "author 19", f"{title} 二", text),
        (5, "author 1", "殘", "天地□黃宇，宙洪荒日月。盈昃辰宿列，張寒來暑往。"),
    ]
    rows.append((5, "author 2", "問", "天地玄霜宇？宙洪玉日月。盈昃水宿列？張寒岡暑往。。"))
    table = "\n".join("\t".join(map(str, row)) for row in rows)
    (folder / "tang_quatrains.tsv.gz").write_bytes(gzip.compress(table.encode()))


def _landsat(folder: Path, generator: np.random.Generator) -> None:
    """As many patches as the real set has, since its split is by number."""
    targets = generator.integers(0, 6, 6435)
    patches = 40 + 15 * targets[:, None, None, None] + generator.integers(0, 12, (6435, 4, 3, 3))
    labels = np.array(["cotton crop", "damp grey soil", "grey soil", "red soil", "vegetation stubble", "very damp"])
    np.savez(folder / "satellite_landsat_6435x4x3x3.npz", x=patches.astype(np.uint8), y=targets.astype(np.uint8),
             classes=labels)  # fmt: skip


def _emoji(folder: Path, generator: np.random.Generator) -> None:
    """Every sign a pattern of its own, a little other with each vendor and tone, and one more emoji that is no sign."""
    patterns = generator.integers(0, 200, (len(SIGNS), 1, 32, 32, 3))
    x = np.concatenate([(patterns + generator.integers(0, 55, (1, 12, 1, 1, 3))).reshape(-1, 32, 32, 3),
                        np.zeros((2, 32, 32, 3), int)])  # fmt: skip
    signs = len(SIGNS)
    np.savez(
        folder / "emoji_32x32_rgb.npz",
        x=x.astype(np.uint8),
        y=np.zeros(len(x), np.uint8),
        vendor=np.append(np.tile(np.repeat([0, 1], 6), signs), [0, 1]).astype(np.uint8),
        skin=np.append(np.tile(np.arange(6), 2 * signs), [0, 0]).astype(np.uint8),
        name=np.array([name for name in SIGNS for _ in range(12)] + 2 * ["rocket"]),
        classes=np.array(["People & Body"]),
    )


def _brains(folder: Path, generator: np.random.Generator) -> None:
    """A block of noise whose regions are slices, each of its own brightness, in both hemispheres."""
    regions = np.zeros((20, 58, 12), np.uint8)
    regions[:10, :, 2:10] = 2 * np.arange(1, 59)[:, None]
    regions[10:, :, 2:10] = 2 * np.arange(1, 59)[:, None] - 1
    t1 = np.clip(regions * 2 + generator.integers(0, 9, regions.shape), 0, 255).astype(np.uint8)
    np.savez(folder / "ch2_aal_2mm.npz", t1=t1, label=regions)
    t1 = np.pad(t1, ((4, 4), (4, 4), (0, 4)))
    np.savez(folder / "mni152_t1_gmwm_2mm.npz", t1=t1, label=(t1 > 20).astype(np.uint8) + (t1 > 120))


def _nuclei(folder: Path, generator: np.random.Generator) -> None:
    """Bright discs, each with a number of its own, in noise; some touch the next one."""
    y, x = np.mgrid[:128, :128]
    mask = np.zeros((128, 128), np.uint16)
    for number, (down, right) in enumerate(generator.integers(0, 128, (40, 2)), 1):
        mask[(y - down) ** 2 + (x - right) ** 2 < 30] = number
    light = 20 + 100 * (mask > 0) + generator.normal(0, 8, mask.shape)
    np.savez(folder / "stardist_nuclei_2d3d.npz", img2d=light.clip(0, 300).astype(np.uint16), mask2d=mask)


def _textures(folder: Path, generator: np.random.Generator) -> None:
    """Waves across one photograph, another direction and length each, in noise."""
    from PIL import Image

    y, x = np.mgrid[:512, :512]
    for name, waves in (("brick", x * 0.4), ("grass", (x + y) * 0.7), ("gravel", y * 0.9)):
        light = 120 + 50 * np.sin(waves) + generator.normal(0, 6, waves.shape)
        Image.fromarray(light.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")


def _ratings(folder: Path, generator: np.random.Generator) -> None:
    """Thirty users who rate films of neighbouring numbers, one after the other."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["movieId", "title", "year", "genres", "userId", "rating", "timestamp"])
    for user in range(1, 51):
        begin, size = generator.integers(60), generator.integers(4, 12)
        for place in range(size):
            film = int(begin + 2 * place) % 60 + 1
            rows.writerow([3 * film, f"Film, No. {film}", 1950 + film, "Drama", user, 4.0, 10**9 + 60 * place])
    (folder / "movielens_latest_small_100k.csv.gz").write_bytes(gzip.compress(table.getvalue().encode()))


def _faces(folder: Path, generator: np.random.Generator) -> None:
    """Noise, with a bright disc where there is a face."""
    y, x = np.mgrid[:25, :25] - 12
    faces = np.arange(200) < 100
    pictures = generator.integers(0, 100, (200, 25, 25)) + 120 * (faces[:, None, None] & (x**2 + y**2 < 80))
    np.savez(folder / "lfw_subset_200x25x25.npz", x=pictures.astype(np.uint8), y=faces.astype(np.uint8))
