"""One file a source of data: `<name>(root, *, options) -> Dataset`."""
