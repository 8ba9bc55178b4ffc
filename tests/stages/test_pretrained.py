"""Initial weights from elsewhere: what fits is taken whole, what does not is refused in one line."""

import os
import pickle
import re
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from deploy import files
from stages import pretrained
from stages.errors import DataError
from stages.models.densenet import _as_named_today
from stages.models.googlenet import googlenet
from stages.models.mobilenet import mobilenet_v3_small

URL = "https://example.org/net-00000000.pth"


class Net(nn.Module):
    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.stem(x)).mean(dim=(2, 3))  # type: ignore[no-any-return]


def load(net: nn.Module, weights: str | Path) -> None:
    pretrained.load(net, str(weights), ("imagenet", URL), stem="stem", apart=("fc.",))


def published() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {**Net().state_dict(), "fc.weight": torch.rand(1000, 4), "fc.bias": torch.rand(1000)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(published(), tmp_path / "net.pth")
    return tmp_path / "net.pth"


def same(net: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_no_weights_change_nothing() -> None:
    net = Net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    load(net, "")
    assert same(net, before)


def write_safetensors(path: Path, state: dict[str, torch.Tensor]) -> Path:
    safetensors.torch.save_file(state, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def write_wrapped(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save({"epoch": 3, "state_dict": state}, path)
    return path


def write_run(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """As a run of this project keeps them: the network beside preprocessing and head."""
    parts = {f"net.{name}": tensor for name, tensor in state.items() if not name.startswith("fc.")}
    return write_safetensors(path, {**parts, "head.weight": torch.rand(2, 4), "head.bias": torch.rand(2)})


def write_without_counter(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save({name: tensor for name, tensor in state.items() if "num_batches" not in name}, path)
    return path


@pytest.mark.parametrize("write", [write_safetensors, write_wrapped, write_run, write_without_counter])
def test_files_of_every_form_are_read(path: Path, write: Callable[[Path, Any], Path]) -> None:
    net = Net()
    load(net, write(path, published()))
    assert same(net, published())


def test_weights_for_rgb_serve_grey_pictures(path: Path) -> None:
    colour, grey = Net(3), Net(1)
    load(colour, path)
    load(grey, path)
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(grey.eval()(x), colour.eval()(x.expand(-1, 3, -1, -1)), atol=1e-6)


def rename(state: dict[str, torch.Tensor], old: str, new: str) -> dict[str, torch.Tensor]:
    return {name.replace(old, new): tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (rename(published(), "norm.", "bn."), "lacks 'norm.weight' and 3 more; give weights of this very architecture"),
        ({**published(), "more": torch.rand(1)}, "has another network's 'more' and 0 more"),
        ({**published(), "norm.weight": torch.rand(5)}, "'norm.weight' is [5], this network's is [4]; its options"),
        ({"epoch": 3}, "is not a state_dict (names to tensors); save model.state_dict()"),
        (torch.rand(3), "is not a state_dict"),
    ],
)
def test_a_file_of_another_network_is_refused(tmp_path: Path, state: Any, words: str) -> None:
    torch.save(state, tmp_path / "net.pth")
    net = Net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        load(net, tmp_path / "net.pth")
    assert "\n" not in str(caught.value)
    assert same(net, before)


def test_weights_for_rgb_do_not_fit_five_channels(path: Path) -> None:
    with pytest.raises(DataError, match=r"'stem.weight' is \[4, 3, 3, 3\], this network's is \[4, 5, 3, 3\]"):
        load(Net(5), path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("net.pth", None, "no such weights file; correct model.weights"),
        ("resnet18", None, "expected 'imagenet' or a .safetensors or .pth file"),
        ("net.pth", b"", "holds no plain tensors"),
        ("net.pth", b"not weights", "holds no plain tensors"),
        ("net.safetensors", b"not weights at all", "holds no plain tensors"),
        ("net-0123abcd.pth", b"damaged", "SHA-256 does not begin with 0123abcd, as its name says; download it again"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        load(Net(), tmp_path / name)
    assert "\n" not in str(caught.value)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmed",)


def test_code_in_a_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Harmful(), "net.pth")
    Path("old.pth").write_bytes(pickle.dumps(Harmful(), protocol=2))
    for name in ("net.pth", "old.pth"):
        with pytest.raises(DataError, match="holds no plain tensors"):
            load(Net(), name)
    assert not Path("harmed").exists()


def test_without_a_network_one_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(
        DataError, match=r"net-00000000.pth: could not be downloaded .*no network.*set model.weights to"
    ):
        load(Net(), "imagenet")


def test_what_was_downloaded_is_checked_and_kept(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = files.sha256_file(path)[:8]
    calls = []

    def download(url: str, to: str, prefix: str, progress: bool) -> None:
        calls.append((url, prefix))
        Path(to).write_bytes(path.read_bytes())

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    url = f"https://example.org/net-{digest}.pth"
    for _ in range(2):
        net = Net()
        pretrained.load(net, "imagenet", ("imagenet", url), stem="stem", apart=("fc.",))
        assert same(net, published())
    assert calls == [(url, digest)]
    kept = tmp_path / "hub" / "checkpoints" / f"net-{digest}.pth"
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(DataError, match="SHA-256 does not begin"):
        pretrained.load(Net(), "imagenet", ("imagenet", url), stem="stem", apart=("fc.",))


def test_torchvisions_file_fits_its_model_here(tmp_path: Path) -> None:
    from torchvision import models

    state = models.mobilenet_v3_small(weights=None).state_dict()
    torch.save(state, tmp_path / "net.pth")
    net = mobilenet_v3_small((3, 28, 28), weights=str(tmp_path / "net.pth"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_side_branches_take_their_weights_too(tmp_path: Path) -> None:
    from torchvision import models

    state = models.googlenet(weights=None, init_weights=False).state_dict()
    torch.save(state, tmp_path / "net.pth")
    first, second = (side.branch for side in googlenet((1, 28, 28), weights=str(tmp_path / "net.pth")).auxiliary)
    assert torch.equal(first.fc1.weight, state["aux1.fc1.weight"])
    assert torch.equal(second.conv.conv.weight, state["aux2.conv.conv.weight"])


def test_densenets_old_names_are_read() -> None:
    old = "features.denseblock1.denselayer2.norm.1.running_mean"
    assert _as_named_today(old) == "features.denseblock1.denselayer2.norm1.running_mean"
    assert _as_named_today("features.norm0.weight") == "features.norm0.weight"
