"""One file an architecture family, without heads: `<name>(shape, *, options) -> nn.Module` with `out_features`."""
