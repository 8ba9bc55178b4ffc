"""`timm:<name>`: any CNN of timm, and no transformer."""

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch

from deploy.errors import UsageError
from stages import discover
from stages.errors import DataError
from stages.recipe import use

timm = pytest.importorskip("timm")


def make(name: str, shape: tuple[int, ...] = (3, 32, 32), **options: Any) -> torch.nn.Module:
    net: torch.nn.Module = discover.call("models", use(name, **options), shape)
    return net


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_byobnet", "test_convnext"])
def test_a_name_after_a_colon_is_timms(name: str) -> None:
    net = make(f"timm:{name}", (1, 64, 48))
    assert net(torch.zeros(2, 1, 64, 48)).shape == (2, net.out_features)
    assert net.training


def test_the_colon_is_short_for_an_option() -> None:
    assert type(make("timm:test_resnet")) is type(make("timm", architecture="test_resnet"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:test_vit", "timm:test_vit"),
        ("timm:test_mambaout", "timm:test_mambaout is no CNN"),
        ("timm:resnet81", "timm has no model 'resnet81'; did you mean 'resnet1"),
        ("timm", "option 'architecture' is needed; --set model.architecture=VALUE"),
        ("lenet5:big", "models lenet5, option 'architecture': no such option"),
    ],
)
def test_what_is_no_cnn_of_timm_is_explained(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_size_that_is_too_small_is_explained() -> None:
    with pytest.raises(UsageError, match=r"timm:convnext_atto does not take \(1, 8, 8\)"):
        make("timm:convnext_atto", (1, 8, 8))


def test_weights_from_a_file(tmp_path: Path) -> None:
    theirs = timm.create_model("test_resnet")
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    net = make("timm:test_resnet", weights=str(tmp_path / "net.pth"))
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in net.state_dict().items())
    with pytest.raises(DataError, match="this very architecture"):
        make("timm:test_efficientnet", weights=str(tmp_path / "net.pth"))


def test_without_timm_one_is_told_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "timm":
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"needs the package timm; pip install 'onnxway\[timm\]'"):
        make("timm:test_resnet")
