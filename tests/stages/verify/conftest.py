from collections.abc import Callable

import pytest

from tests.mutants.subjects import Subject, build
from tests.rehearsal.plugin import cuda_rehearsal

__all__ = ["cuda_rehearsal"]


@pytest.fixture(scope="session")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Subject]:
    """A function that returns a network of `tests.mutants.subjects` by name: trained and exported once."""
    made: dict[tuple[str, int], Subject] = {}

    def made_once(name: str, seed: int = 0) -> Subject:
        if (name, seed) not in made:
            made[name, seed] = build(name, seed, tmp_path_factory.mktemp(name))
        return made[name, seed]

    return made_once
