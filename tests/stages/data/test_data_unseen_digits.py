from pathlib import Path

import numpy as np
import pytest

from stages.data.unseen_digits import unseen_digits
from tests.stages.data.kit import refused, sound


def test_training_has_seen_digits_only_and_the_test_unseen_ones(generated_data: Path) -> None:
    data = unseen_digits(generated_data)
    sound(data)
    assert data.info.labels == tuple("0123456789")
    assert set(data.train.targets) == set(data.validation.targets) == set(range(7))
    assert set(data.test.targets) == {7, 8, 9}
    assert data.info.counts[7:] == (0, 0, 0)


def test_targets_are_places_among_the_chosen_digits(generated_data: Path) -> None:
    everything, chosen = unseen_digits(generated_data), unseen_digits(generated_data, seen=(6, 2), unseen=(9, 8))
    assert chosen.info.labels == ("6", "2", "9", "8")
    assert set(chosen.train.targets) == {0, 1}
    sixes = np.sort(everything.train.inputs[everything.train.targets == 6].sum(axis=(1, 2, 3), dtype=np.int64))
    own = np.concatenate([part.inputs[part.targets == 0] for part in (chosen.train, chosen.validation)])
    assert np.isin(sixes, own.sum(axis=(1, 2, 3), dtype=np.int64)).all()
    assert (chosen.test.targets == 2).sum() == (everything.test.targets == 9).sum()


def test_validation_is_split_by_seed(generated_data: Path) -> None:
    first, again, other = (unseen_digits(generated_data, seed=seed).info.digest for seed in (0, 0, 1))
    assert first == again != other
    assert unseen_digits(generated_data, validation=0.0).info.sizes["validation"] == 0


@pytest.mark.parametrize("options", [{"seen": (0, 7)}, {"seen": (0,)}, {"unseen": (8, 10)}, {"unseen": ()}])
def test_digits_that_make_no_split_are_refused(generated_data: Path, options: dict[str, tuple[int, ...]]) -> None:
    refused(lambda: unseen_digits(generated_data, **options), "two digits or more each")
