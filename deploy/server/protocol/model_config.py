"""A bundle in the words of Triton's model configuration, for clients that ask for it."""

from typing import Any

from deploy.bundle import Signature
from deploy.predictor import Info
from deploy.server.protocol.messages import DATATYPES


def model_config(info: Info, max_batch_size: int) -> dict[str, Any]:
    """Return the configuration: sizes without the batch's, -1 where free; what is particular to a bundle as strings."""
    return {
        "name": info.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "runtime": "",
        "version_policy": {"specific": {"versions": [int(info.version)]}} if _is_number(info.version) else {"all": {}},
        "max_batch_size": max_batch_size,
        "input": _tensors(info.input),
        "output": _tensors(info.output),
        "instance_group": [
            {
                "name": info.provider,
                "kind": "KIND_GPU" if info.provider == "cuda" else "KIND_CPU",
                "count": 1,
            }
        ],
        "default_model_filename": "model.onnx",
        "parameters": {key: {"string_value": str(getattr(info, key))} for key in ("provider", "variant", "digest")},
    }


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdecimal() and len(version) < 19  # what 64 bits hold


def _tensors(signature: Signature) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "data_type": f"TYPE_{DATATYPES[spec.dtype]}",
            "dims": [size if isinstance(size, int) else -1 for size in spec.shape[1:]],
        }
        for spec in signature.tensors
    ]
