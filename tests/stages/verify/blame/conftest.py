"""One network for most tests."""

import pytest

from stages.models.lenet import lenet5
from tests.stages.verify.blame.cases import Subject, subject


@pytest.fixture(scope="session")
def lenet() -> Subject:
    return subject(lenet5)
