"""Any CNN of timm (PyTorch Image Models, Wightman 2019): `model=timm:<name>`; needs `pip install 'onnxway[timm]'`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from deploy.errors import UsageError
from deploy.schema import closest
from stages import pretrained
from stages.errors import DataError
from stages.shapes import Picture


def timm(shape: Picture, *, architecture: str, dropout: float = 0.0, weights: str = "") -> nn.Module:
    """A CNN of timm by its name, `model=timm:efficientnet_b0`, up to its pooled features; an extra.

    `weights`: empty, a file, or timm (those that timm publishes under this name). Raises `UsageError` when timm is
    missing, for an unknown name, and for what is no CNN (transformers and mixers answer tokens, not maps).
    """
    try:
        import timm as library
    except ImportError:
        raise UsageError("model timm needs the package timm; pip install 'onnxway[timm]'") from None
    known = library.list_models() if "." not in architecture else library.list_models(pretrained=True)
    if architecture not in known:
        raise UsageError(f"timm has no model {architecture!r}; {_near(architecture, known)}")
    options = {"in_chans": shape[0], "num_classes": 0, "drop_rate": dropout, "exportable": True}
    try:
        net: nn.Module = library.create_model(architecture, pretrained=weights == "timm", **options)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"timm could not make {architecture!r}: {reason}; set model.weights to a file") from None
    _require_maps(net, architecture, shape)
    if weights != "timm":
        config: dict[str, Any] = net.pretrained_cfg  # type: ignore[assignment]
        heads, stem = (_names(config.get(key)) for key in ("classifier", "first_conv"))
        pretrained.load(net, weights, ("timm", ""), stem=stem[0], apart=tuple(f"{head}." for head in heads))
    return net


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the layers that timm's description of a network names: one, several or none."""
    return (value,) if isinstance(value, str) else tuple(value or ("none",))


def _near(name: str, known: list[str]) -> str:
    """Return the closest name; timm has over a thousand, too many to list."""
    return closest(name, known).partition("choose from")[0] + "see timm.list_models()"


@torch.no_grad()
def _require_maps(net: nn.Module, architecture: str, shape: Picture) -> None:
    """Refuse what does not answer maps (N, channels, h, w) for this size; sets `out_features`."""
    net.eval()
    try:
        maps = net.forward_features(torch.zeros(1, *shape))  # type: ignore[operator]
        features = net(torch.zeros(1, *shape))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"timm:{architecture} does not take {shape}: {reason}; change the input's size") from None
    net.train()
    if maps.dim() != 4 or maps.shape[1] != net.num_features:
        raise UsageError(
            f"timm:{architecture} is no CNN: it answers {list(maps.shape)}, expected maps; take another one"
        )
    net.out_features = features.shape[1]
