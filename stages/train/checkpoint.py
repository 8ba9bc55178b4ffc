"""Where a training can go on: a folder that is replaced as a whole, and is used only by the training that wrote it.

checkpoint.json          schema, key of the training, SHA-256 of each file below
<name>.safetensors       weights: model, and ema and best where there are such
state.pt                 optimiser, scaler, history, what was chosen; read with weights_only
"""

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deploy import files
from deploy.schema import to_plain
from stages.dataset import DataInfo
from stages.errors import TrainingError
from stages.observer import Observer
from stages.recipe import Recipe
from stages.train import weights
from stages.train.weights import Weights

_SCHEMA = 2
_MANIFEST, _STATE = "checkpoint.json", "state.pt"
_WHERE_NOT_WHAT = ("device", "workers", "memory_mb", "checkpoint_s")


@dataclass(frozen=True)
class Saved:
    """Weights by name (`model`, and perhaps `ema` and `best`), and plain values and tensors."""

    weights: dict[str, Weights]
    state: dict[str, Any]


def training_key(recipe: Recipe, info: DataInfo) -> str:
    """Return a digest of all that decides how a training goes on; where it runs is not part of it."""
    plain = to_plain(recipe)
    train = {name: value for name, value in plain["train"].items() if name not in _WHERE_NOT_WHAT}
    parts = [plain["input"], plain["model"], plain["task"], train, to_plain(info)]
    return files.sha256(files.render_json(parts))


def save(folder: Path, key: str, saved: Saved) -> None:
    """Replace the checkpoint; an error (a full disk, a read-only folder) leaves the older one."""
    state = io.BytesIO()
    torch.save(saved.state, state)
    contents = {_STATE: state.getvalue()}
    contents |= {f"{name}.safetensors": weights.to_bytes(tensors) for name, tensors in saved.weights.items()}
    manifest = {"schema": _SCHEMA, "key": key, "files": {n: files.sha256(data) for n, data in contents.items()}}
    with files.replaced_folder(folder) as temporary:
        for name, data in contents.items():
            (temporary / name).write_bytes(data)
        (temporary / _MANIFEST).write_bytes(files.render_json(manifest))


def load(folder: Path, key: str, observer: Observer) -> Saved | None:
    """Return the checkpoint; None, said in one line, if another recipe or other data wrote it.

    Raises `TrainingError` for a damaged one.
    """
    if not folder.exists():
        return None
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        if manifest["schema"] != _SCHEMA or manifest["key"] != key:
            observer.say(f"{folder}: checkpoint of another recipe or of other data; not used, training starts over")
            return None
        contents = {name: _checked(folder / name, digest) for name, digest in manifest["files"].items()}
        state = torch.load(io.BytesIO(contents.pop(_STATE)), map_location="cpu", weights_only=True)
        tensors = {Path(name).stem: weights.from_bytes(data) for name, data in contents.items()}
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{folder}: damaged checkpoint ({error}); start over: pipeline train --force, or delete that folder"
        ) from None
    return Saved(tensors, state)


def _checked(path: Path, digest: str) -> bytes:
    data = path.read_bytes()
    if files.sha256(data) != digest:
        raise ValueError(f"{path.name}: its bytes do not match the digest in {_MANIFEST}")
    return data
