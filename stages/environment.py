"""What a result was made with: library versions, the machine, the commit. Recorded, never used to decide anything."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

_LIBRARIES = ("onnxway", "torch", "torchvision", "onnx", "onnxscript", "onnxruntime-gpu", "onnxruntime", "numpy")


def environment() -> dict[str, str]:
    """Return names and versions: Python, platform, the libraries that decide numbers, and the git commit if any."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for library in _LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = git_commit()
    if commit:
        found["git_commit"] = commit
    return found


def git_commit() -> str:
    """Return the commit of the checkout this code runs from, with `-dirty` for local changes; empty outside of one."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
