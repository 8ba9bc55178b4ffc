"""Answers as files in a folder: masks and restored pictures as they are, other results drawn."""

from pathlib import Path

from deploy import files
from deploy.errors import UsageError
from deploy.outputs import Result
from deploy.outputs.pictures import PNG, png

_ENDINGS = {PNG: ".png", "application/x-nifti": ".nii.gz", "text/plain": ".txt", "text/csv": ".csv"}


def write(result: Result, media: str, payload: object, folder: Path) -> Path:
    """Write one result into a folder and return its path: `cells.png` becomes `cells.answer.png`.

    media    Content-Type of the results' files; empty: the result is drawn over the picture that it answers

    Raises `UsageError` for results that have neither a file nor a drawing, and for an answer to a text.
    """
    if not isinstance(payload, Path):
        raise UsageError("--out is for answers to files; the answer to a text is printed")
    data = result.to_file() if media else png(result.draw(payload))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{payload.name.split('.')[0]}.answer{_ENDINGS.get(media or PNG, '')}"
    files.write_bytes(path, data)
    return path
