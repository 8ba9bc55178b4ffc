"""Whether CUDA works here, asked the only way that proves it: a strict session that has run."""

import functools
from pathlib import Path

from deploy.errors import OnnxwayError
from deploy.providers import open_session

MODEL = Path(__file__).parent / "deploy" / "fixtures" / "colours" / "model.onnx"


@functools.cache
def cuda_works() -> bool:
    """Return whether the CUDA provider really runs a convolution on this machine."""
    try:
        open_session(MODEL, "cuda")
    except OnnxwayError:
        return False
    return True
