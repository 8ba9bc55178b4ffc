"""Kinds of input and of output by name: a file each, which is imported when a bundle has that kind."""

import importlib
from collections.abc import Mapping
from typing import Any

from deploy.bundle import Signature
from deploy.errors import BundleError


def made(side: str, classes: Mapping[str, str], signature: Signature) -> Any:
    """Return the kind that a signature names; `BundleError` for one that this version does not know.

    side       input or output: kinds are files in `deploy/inputs` or `deploy/outputs`
    classes    class by kind, in the file of that name
    """
    if signature.kind not in classes:
        choices = ", ".join(sorted(classes))
        raise BundleError(
            f"{side} kind {signature.kind!r}: this onnxway knows {choices}; upgrade: pip install -U onnxway"
        )
    module = importlib.import_module(f"deploy.{side}s.{signature.kind}")
    return getattr(module, classes[signature.kind])(signature)
