import errno
import os
from pathlib import Path
from typing import Any

import pytest

from deploy import files


def test_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_file(tmp_path / "a") == files.sha256(b"abc")
    assert files.sha256(b"abc").startswith("ba7816bf")


def test_json_has_one_form_and_no_nan(tmp_path: Path) -> None:
    assert files.render_json({"b": [1], "a": "é"}) == '{\n  "a": "é",\n  "b": [\n    1\n  ]\n}\n'.encode()
    files.write_json(tmp_path / "x.json", {"a": 1})
    assert (tmp_path / "x.json").read_bytes() == files.render_json({"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.render_json(float("nan"))


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    files.write_bytes(target, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with files.replaced_folder(target) as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), files.replaced_folder(target) as temporary:
        (temporary / "a").write_text(f"new {1 / 0}")
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_at_the_last_flush_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "folder"
    with files.replaced_folder(target) as temporary:
        (temporary / "a").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), files.replaced_folder(target) as temporary:
        (temporary / "a").write_text("new")
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("exchange", [True, False], ids=["renameat2", "two renames"])
def test_a_folder_replaces_files_and_sub_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: object())
    target = tmp_path / "deep" / "folder"
    for text in ("one", "two"):
        with files.replaced_folder(target) as temporary:
            (temporary / "sub").mkdir()
            (temporary / "sub" / text).write_text(text)
    assert [path.name for path in (target / "sub").iterdir()] == ["two"]
    assert list(target.parent.iterdir()) == [target]
    assert target.stat().st_mode & 0o777 == 0o755


def test_writers_leave_files_that_others_can_read(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_read_only_folder_is_an_os_error_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(PermissionError):
        files.write_bytes(tmp_path / "a", b"x")
    assert not list(tmp_path.iterdir())
