import pytest

from deploy.errors import BundleError
from deploy.passport import Check, Passport


def passport(*checks: Check) -> Passport:
    return Passport("a" * 64, checks, {}, 8.0, 1000, ("cpu",), "2026-01-01T00:00:00+00:00")


def test_no_check_is_no_pass() -> None:
    assert not passport()
    with pytest.raises(BundleError, match="no check was made"):
        passport().require("a" * 64)


def test_one_failure_fails_and_is_named() -> None:
    mixed = passport(Check("noise", True), Check("flips", False))
    assert not mixed
    assert [check.name for check in mixed.failures()] == ["flips"]
    with pytest.raises(BundleError, match=r"\(flips\)"):
        mixed.require("a" * 64)


def test_it_is_for_one_file_only() -> None:
    passing = passport(Check("noise", True))
    assert passing
    passing.require("a" * 64)
    with pytest.raises(BundleError, match="issued for the file"):
        passing.require("b" * 64)
