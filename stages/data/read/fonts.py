"""Fonts of this machine that have given characters, by family."""

import os
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from stages.errors import DataError

_SUFFIXES = {".ttf", ".ttc", ".otf", ".otc"}
_ABSENT = "\U0010fffe"  # never assigned, so every font draws its box for what it has not
_MOST_FACES = 16
_SIMPLIFIED = {"SC", "CN"}
_LANGUAGES = {"JP", "KR", "SC", "TC", "HK", "CN", "TW"}

Face = tuple[Path, int]


def system_folders() -> list[Path]:
    """Return where fonts lie by the platform's convention."""
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), Path.home() / "Library" / "Fonts"]
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".local" / "share" / "fonts"]


def families(folders: list[Path], characters: str) -> dict[str, list[Face]]:
    """Return the faces (file, and number in it) that have all `characters`, by the name of their family, sorted.

    Of a file with several faces only one is taken, since they share most of their glyphs: the one for simplified
    Chinese where there is one. Families that differ in nothing but the language are one. Other files are passed over.
    """
    found: dict[str, list[Face]] = {}
    for path in sorted({path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES}):
        faces = [(name, number) for number, name in enumerate(_names(path)) if _has(path, number, characters)]
        if faces:
            name, number = next((face for face in faces if face[0].split()[-1] in _SIMPLIFIED), faces[0])
            words = name.split()
            family = " ".join(words[:-1] if words[-1] in _LANGUAGES else words)
            found.setdefault(family, []).append((path, number))
    return dict(sorted(found.items()))


def _names(path: Path) -> list[str]:
    names: list[str] = []
    while len(names) < _MOST_FACES:
        try:
            names.append(ImageFont.truetype(str(path), 24, index=len(names)).getname()[0] or path.stem)
        except OSError:  # no font, or no face of that number
            break
    return names


def _has(path: Path, number: int, characters: str) -> bool:
    """Tell whether a face draws each character, and differently (a font of last resort draws but its block's sign)."""
    face = ImageFont.truetype(str(path), 24, index=number)
    drawn = {bytes(face.getmask(character)) for character in characters}
    return len(drawn) == len(characters) and not drawn & {b"", bytes(face.getmask(_ABSENT))}


def glyph(path: Path, number: int, character: str, side: int) -> Image.Image:
    """Return a character white on black, grey levels, as large as fits into `side` px with a margin of an eighth."""
    room = side - side // 4
    face = ImageFont.truetype(str(path), 2 * side, index=number)
    left, top, right, bottom = face.getbbox(character)
    width, height = max(1, round(right - left)), max(1, round(bottom - top))
    drawn = Image.new("L", (width, height))
    ImageDraw.Draw(drawn).text((-left, -top), character, fill=255, font=face)
    scale = room / max(width, height)
    drawn = drawn.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.LANCZOS)
    whole = Image.new("L", (side, side))
    whole.paste(drawn, ((side - drawn.width) // 2, (side - drawn.height) // 2))
    return whole


def require(folders: list[Path], characters: str, least: int) -> dict[str, list[Face]]:
    """Return `families`, at least so many; `DataError` says which packages have fonts for Chinese characters."""
    found = families(folders, characters)
    if len(found) < least:
        where = ", ".join(map(str, folders))
        have = f" ({', '.join(found)})" if found else ""
        raise DataError(
            f"{where}: {len(found)} families of fonts have all of the {len(characters)} characters{have}, expected "
            f"{least} or more; install some (Debian: apt install fonts-noto-cjk fonts-wqy-zenhei fonts-arphic-ukai) or "
            "name a folder of fonts: --set data.fonts=FOLDER"
        )
    return found
