"""What torchvision's and timm's networks need to be models here: another number of channels, no last layer."""

from torch import nn

SMALL_PX = 64  # pictures with a shorter side keep their resolution in the stem, which is made for 224 px


def fit_stem(net: nn.Module, name: str, channels: int, stride: int | None = None) -> None:
    """Make the first convolution take `channels`, and move by `stride`; its kernel stays, so that weights still fit.

    With another number of channels than before its weights are drawn anew, He-normal.
    """
    conv = net.get_submodule(name)
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    if conv.in_channels != channels:
        plain = nn.Conv3d if isinstance(conv, nn.Conv3d) else nn.Conv2d
        fresh = plain(
            channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            bias=conv.bias is not None,
        )
        nn.init.kaiming_normal_(fresh.weight, nonlinearity="relu")
        net.set_submodule(name, fresh)
        conv = fresh
    if stride is not None:
        conv.stride = (stride,) * len(conv.stride)


def without_head(net: nn.Module, name: str) -> nn.Module:
    """Return the network with its last linear layer taken away, so that features come out; sets `out_features`."""
    head = net.get_submodule(name)
    assert isinstance(head, nn.Linear)
    net.set_submodule(name, nn.Identity())
    net.out_features = head.in_features  # type: ignore[assignment]
    return net
