"""Initial weights from elsewhere: a file, or what torchvision publishes, checked against digest, names and shapes."""

import pickle
import re
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from deploy import files
from stages.errors import DataError

_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.pth$")  # torch.hub's custom: a name ends in the start of its SHA-256
_COUNTER = "num_batches_tracked"  # older files do not have it, and nothing is computed from it


def load(
    net: nn.Module,
    weights: str,
    published: tuple[str, str],
    *,
    stem: str,
    apart: tuple[str, ...],
    rename: Callable[[str], str] = str,
) -> None:
    """Load initial weights into a network without its head, in place; an empty `weights` leaves it as it is.

    `weights` is a path (.safetensors, or .pth read with `weights_only`), or the word in `published`, a pair of the word
    and torchvision's address. Of a run's own `weights.safetensors` the network's part is taken. Names that begin with
    one of `apart` (the head, side branches) may be in the file or not. Weights of a `stem` for RGB are summed for
    pictures of one channel, which is the same as showing the grey picture three times. `rename` maps names in the file
    to the network's.

    Raises `DataError` for no network, a missing or damaged file, a digest, a name or a shape that does not fit.
    """
    if not weights:
        return
    word, url = published
    path = downloaded(url) if weights == word else Path(weights)
    state = {rename(name): tensor for name, tensor in _read(path, word).items()}
    if any(name.startswith("net.") for name in state):
        state = {name.removeprefix("net."): tensor for name, tensor in state.items() if name.startswith("net.")}
    own = net.state_dict()
    state = {name: tensor for name, tensor in state.items() if name in own or not name.startswith(apart)}
    first = f"{stem}.weight"
    if first in state and own[first].shape[1] == 1 and state[first].dim() > 1:
        state[first] = state[first].sum(dim=1, keepdim=True)
    _require_fit(path, own, state, apart)
    net.load_state_dict(state, strict=False)


def downloaded(url: str) -> Path:
    """Return the file behind an address of torchvision's, from torch's cache or the network, its digest checked."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _DIGEST.search(url)
        try:
            torch.hub.download_url_to_file(url, str(path), digest[1] if digest else None, progress=False)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            raise DataError(
                f"{url}: could not be downloaded ({error}); fetch it elsewhere and set model.weights to its path"
            ) from None
    return path


def _read(path: Path, word: str) -> dict[str, torch.Tensor]:
    if path.suffix not in (".safetensors", ".pth"):
        raise DataError(f"model.weights is {str(path)!r}, expected {word!r} or a .safetensors or .pth file")
    if not path.is_file():
        raise DataError(f"{path}: no such weights file; correct model.weights, or leave it empty")
    digest = _DIGEST.search(path.name)
    if digest and not files.sha256_file(path).startswith(digest[1]):
        raise DataError(f"{path}: SHA-256 does not begin with {digest[1]}, as its name says; download it again")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)  # type: ignore[no-any-return]
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, safetensors.SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{path}: holds no plain tensors ({reason}); save a state_dict, or use safetensors") from None
    return _tensors(path, state)


def _tensors(path: Path, state: Any) -> dict[str, torch.Tensor]:
    for key in ("state_dict", "model"):  # the usual wrappers of checkpoints
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{path}: is not a state_dict (names to tensors); save model.state_dict()")
    return state


def _require_fit(
    path: Path, own: dict[str, torch.Tensor], state: dict[str, torch.Tensor], apart: tuple[str, ...]
) -> None:
    missing = [n for n in own if n not in state and not n.startswith(apart) and not n.endswith(_COUNTER)]
    extra = [name for name in state if name not in own]
    for words, names in (("lacks", missing), ("has another network's", extra)):
        if names:
            raise DataError(
                f"{path}: {words} {names[0]!r} and {len(names) - 1} more; give weights of this very architecture"
            )
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise DataError(
                f"{path}: {name!r} is {list(tensor.shape)}, this network's is {list(own[name].shape)}; "
                "its options, or the channels or size of its input, differ: change them, or leave model.weights empty"
            )
