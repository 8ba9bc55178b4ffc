"""Embed a verified model in an application: `Predictor.load("bundle").predict("picture.png")`.

Needs numpy, onnxruntime and pillow only, and loads them when `Predictor` is first used. See `docs/bundle.md`.
"""

from typing import TYPE_CHECKING, Any

from deploy.errors import OnnxwayError

if TYPE_CHECKING:
    from deploy.predictor import Predictor

__all__ = ["OnnxwayError", "Predictor"]


def __getattr__(name: str) -> Any:
    """Import the predictor, and ONNX Runtime with it, only when somebody asks for it (PEP 562)."""
    if name == "Predictor":
        from deploy.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'deploy' has no attribute {name!r}")
