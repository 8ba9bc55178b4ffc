"""The rows that a model is tried on: real ones in batches, and more of them when there are too few."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from deploy.bundle import Signature, TensorSpec
from stages.dataset import Array, Dataset
from stages.deployed import Deployed, Partial
from stages.verify.reference import Feeds

Rows = Array | Sequence[Array]  # one array, or rows of several shapes


class Material:
    """Test rows with their targets (if known), and other rows of the same kind.

    Each set of rows is a mapping from input name to rows; all inputs of a set have the same number of them. `source`
    says where the test rows come from.
    """

    def __init__(
        self,
        signature: Signature,
        test: Mapping[str, Rows],
        others: Sequence[Mapping[str, Rows]] = (),
        targets: Array | None = None,
        source: str = "the test split",
    ) -> None:
        self.signature = signature
        self.source = source
        self.targets = targets
        self.size = len(next(iter(test.values())))
        self._test = test
        self._others = others

    @classmethod
    def of(cls, dataset: Dataset, signature: Signature, *, targets: bool = True) -> "Material":
        """Return a dataset's splits as rows of its only input, with or without the targets of the test rows."""
        name = signature.tensors[0].name
        others = [{name: split.inputs} for split in (dataset.validation, dataset.train)]
        return cls(signature, {name: dataset.test.inputs}, others, dataset.test.targets if targets else None)

    @classmethod
    def deployed(cls, module: Deployed, dataset: Dataset) -> "Material":
        """Return the rows on which a deployed module is tried: samples, or what it takes out of them."""
        known = getattr(module.task, "names_targets", False)
        if not isinstance(module, Partial):
            return cls.of(dataset, module.input, targets=known)
        test, targets = module.rows(dataset.test)
        return cls(module.input, test, [module.rows(dataset.validation)[0]], targets if known else None)

    def test(self, most: int) -> Iterator[Feeds]:
        """Yield the test rows in order, in batches of at most `most` rows of one shape."""
        return batches(self._test, most)

    def row(self, number: int) -> Feeds:
        """Return one test row, as a batch."""
        return {name: np.asarray(values[number])[None] for name, values in self._test.items()}

    def more(self, wanted: int, most: int, seed: int = 0) -> Iterator[Feeds]:
        """Yield `wanted` rows beyond the test rows: the other sets', then test rows disturbed."""
        left = wanted
        for rows in self._others:
            for batch in batches(rows, most):
                if left <= 0:
                    return
                yield head(batch, left)
                left -= count(batch)
        generator = np.random.default_rng(seed)
        while left > 0:
            for batch in batches(self._test, most):
                if left <= 0:
                    return
                yield head(self._disturbed(batch, generator), left)
                left -= count(batch)

    def _disturbed(self, batch: Feeds, generator: np.random.Generator) -> Feeds:
        return {spec.name: disturbed(batch[spec.name], spec, generator) for spec in self.signature.tensors}


def batches(rows: Mapping[str, Rows], most: int) -> Iterator[Feeds]:
    """Yield batches of at most `most` rows, in order; a row of another shape starts another batch."""
    size = len(next(iter(rows.values())))
    if all(isinstance(values, np.ndarray) for values in rows.values()):
        for start in range(0, size, most):
            yield {name: values[start : start + most] for name, values in rows.items()}  # type: ignore[misc]
        return
    each = ({name: values[i] for name, values in rows.items()} for i in range(size))
    for _, alike in itertools.groupby(each, key=lambda row: [array.shape for array in row.values()]):
        while chunk := list(itertools.islice(alike, most)):
            yield {name: np.stack([row[name] for row in chunk]) for name in chunk[0]}


def count(feeds: Feeds) -> int:
    """Return the number of rows of a batch."""
    return len(next(iter(feeds.values())))


def head(feeds: Feeds, rows: int) -> Feeds:
    """Return the first rows of a batch."""
    return {name: array[:rows] for name, array in feeds.items()}


def row(feeds: Feeds, number: int) -> Feeds:
    """Return one row of a batch, as a batch."""
    return {name: array[number : number + 1] for name, array in feeds.items()}


def repeated(feeds: Feeds, rows: int) -> Feeds:
    """Return as many rows as asked for, from the start again when the batch ends."""
    wanted = np.arange(rows) % count(feeds)
    return {name: array[wanted] for name, array in feeds.items()}


def disturbed(batch: Array, spec: TensorSpec, generator: np.random.Generator) -> Array:
    """Return the batch with normal noise of a sixteenth of the value range, clipped to the range.

    Signed whole numbers are symbols (characters, words), not quantities: of those a sixteenth is exchanged for others
    of the batch.
    """
    if batch.dtype.kind == "i":
        return np.where(generator.random(batch.shape) < 1 / 16, generator.choice(batch.reshape(-1), batch.shape), batch)
    low, high = spec.range or (float(batch.min()), float(batch.max()))
    noisy = batch + generator.normal(0, (high - low) / 16, batch.shape)
    clipped = np.clip(noisy, low, high)
    return (clipped.round() if batch.dtype.kind in "iu" else clipped).astype(batch.dtype)
