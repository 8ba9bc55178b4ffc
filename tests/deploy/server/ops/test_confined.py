"""The server on a file system that it may only read, as a user without a home and without root's powers."""

import ctypes
import gzip
import io
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")
if os.name != "posix":
    pytest.skip("POSIX users and permissions", allow_module_level=True)

from tests.deploy.server.ops.kit import KEY, ask, tensor_body

START_S = 60

READ_ONLY = """
import errno, os, runpy, sys

def refuse(event, arguments):
    # what any file system says that is mounted read-only; devices and pipes are none
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if not str(arguments[0]).startswith(("/dev/", "/proc/")) and not isinstance(arguments[0], int):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), arguments[0])
    if event in ("os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link", "os.chmod", "os.truncate"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))

sys.addaudithook(refuse)
runpy.run_module("deploy", run_name="__main__", alter_sys=True)
"""


def without_powers() -> None:
    """Take from root what lets it pass over permissions; nobody else has it."""
    for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER of capabilities(7)
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.fixture
def confined(colours: Path, tmp_path: Path) -> Iterator[str]:
    """Serve with API keys: no home, and nowhere to write, as the system sees it and as Python's audit does."""
    (tmp_path / "keys").write_text(KEY)
    (tmp_path / "keys").chmod(0o444)
    empty = tmp_path / "empty"
    empty.mkdir()
    empty.chmod(0o555)
    places = {"TMPDIR": str(empty), "PATH": "", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parents[4])}
    process = subprocess.Popen(
        [sys.executable, "-c", READ_ONLY, str(colours), "--port", "0", "--api-keys", str(tmp_path / "keys")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=empty,
        env=places,
        preexec_fn=without_powers,
    )
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        line = process.stdout.readline() if ready else ""
        if not line.startswith("serving on "):
            process.kill()
            pytest.fail(f"no server: {line!r} {process.communicate()[1]}")
        yield line.split()[2]
        process.terminate()
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        assert not list(empty.iterdir())
    finally:
        process.kill()
        process.communicate()
        empty.chmod(0o755)


def test_it_answers_all_that_comes(confined: str, blue_png: bytes) -> None:
    assert ask(f"{confined}/v2/health/ready").status == 200
    assert ask(f"{confined}/v2/models/colours/infer", tensor_body(), X_API_Key=KEY).status == 200
    assert ask(f"{confined}/predict", blue_png, X_API_Key=KEY).json["label"] == "blue"
    packed = gzip.compress(tensor_body())
    assert ask(f"{confined}/v2/models/colours/infer", packed, X_API_Key=KEY, Content_Encoding="gzip").status == 200
    assert ask(f"{confined}/metrics", X_API_Key=KEY).status == 200
    assert ask(f"{confined}/openapi.json", X_API_Key=KEY).status == 200


def test_a_form_larger_than_a_megabyte_needs_no_disk(confined: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "BMP")
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bmp"\r\n\r\n'
    body = head + file.getvalue() + b"\r\n--b--\r\n"
    assert len(body) > 2**20
    answer = ask(f"{confined}/predict", body, X_API_Key=KEY, Content_Type="multipart/form-data; boundary=b")
    assert answer.status == 200, answer.body


def test_it_is_really_confined(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    run = {"preexec_fn": without_powers, "capture_output": True, "text": True, "cwd": closed}
    code = f"import os; os.open({str(closed / 'a')!r}, os.O_CREAT)"
    for start in ("", READ_ONLY.partition("runpy.run")[0]):
        done = subprocess.run([sys.executable, "-c", start + code], **run)
        assert "PermissionError" in done.stderr or "Read-only file system" in done.stderr
