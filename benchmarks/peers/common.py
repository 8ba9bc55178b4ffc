"""What the servers of others share: one body to an array, rows to answers, an answer to bytes.

MODEL (a file), SIDE, CHANNELS, KIND (binary, json, jpeg) and PORT come in the environment. JSON is one row, nested:
`{"image": [[...]]}`; MLServer speaks the protocol that ours does.
"""

import io
import json
import os
from typing import Any

import numpy as np
import onnxruntime

MODEL, KIND, PORT = os.environ["MODEL"], os.environ["KIND"], int(os.environ["PORT"])
SHAPE = (int(os.environ["SIDE"]), int(os.environ["SIDE"]), int(os.environ["CHANNELS"]))
MAX_BATCH = 32


def open_model(threads: int = 0) -> Any:
    """Return a session; 0 threads: as ONNX Runtime comes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])


def decode(body: bytes) -> Any:
    """Return one row without its batch axis."""
    if KIND == "binary":
        return np.frombuffer(body, np.uint8).reshape(SHAPE)
    if KIND == "json":
        return from_json(json.loads(body))
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(body)).convert("L" if SHAPE[2] == 1 else "RGB"), np.uint8).reshape(SHAPE)


def from_json(value: Any) -> Any:
    """Return the row in a parsed body."""
    return np.asarray(value["image"], np.uint8).reshape(SHAPE)


def run(session: Any, rows: Any) -> Any:
    """Return probabilities (N, classes) for a list of rows or an array."""
    return session.run(["probabilities"], {"image": np.stack(rows) if isinstance(rows, list) else rows})[0]


def encode(row: Any) -> bytes:
    """Return the answer for one row."""
    return row.tobytes() if KIND == "binary" else json.dumps({"probabilities": row.tolist()}).encode()
