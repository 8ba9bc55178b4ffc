"""A folder of text files of one's own: a file a class, a text a line."""

from pathlib import Path

from stages.data.read.text import code_points, unique, utf8
from stages.dataset import Array, Dataset
from stages.errors import DataError
from stages.split import split_of


def text_lines(
    root: Path, *, path: str, longest: int = 512, validation: float = 0.1, test: float = 0.2, seed: int = 0
) -> Dataset:
    """Lines of `path`/<class>.txt (UTF-8; .txt.gz too), split by class; `root` is not used.

    Repeated texts are taken once, those in two files left out. Texts are cut after `longest`
    characters, in all splits.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name one: --set data.path=FOLDER")
    files = {file.name.partition(".")[0]: file for file in sorted(folder.glob("*.txt*"))}
    texts, targets = lines_of(files)
    labels = tuple(files)
    return split_of(
        folder,
        ("length",),
        labels,
        code_points(path, texts, longest),
        targets,
        validation=validation,
        test=test,
        seed=seed,
    )


def lines_of(files: dict[str, Path]) -> tuple[list[str], Array]:
    """Return the different texts of files by class, and the class of each; blank lines are no texts."""
    texts, targets = [], []
    for number, path in enumerate(files.values()):
        lines = [line.strip() for line in utf8(path).split("\n")]
        found = [line for line in lines if line]
        if not found:
            raise DataError(f"{path}: has no text; expected one a line, or remove the file")
        texts += found
        targets += [number] * len(found)
    return unique(texts, targets)
