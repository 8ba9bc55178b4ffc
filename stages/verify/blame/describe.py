"""Words for a node: where it comes from, and how it differs from its counterpart."""

import re
from pathlib import Path

import numpy as np
import torch
from onnx import NodeProto, helper

from stages.dataset import Array
from stages.verify.blame.flow import Flow
from stages.verify.blame.match import note, scopes

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH = Path(torch.__file__).parent / "nn"
_SHOWN = 3
_WRAPPER = "stages/export/convert.py"  # calls head and postprocessing, and has no layer of its own


def module(node: NodeProto) -> str:
    """Return the path of the innermost module that a node belongs to: net.features.3; empty when not noted."""
    return next(iter(reversed(scopes(node))), "")


def source(node: NodeProto) -> str:
    """Return `file line n` of the innermost frame that is not torch's own; empty when not noted."""
    frames = _FRAME.findall(note(node, "pkg.torch.onnx.stack_trace"))
    own = [(path, line) for path, line in frames if not _is_torch(Path(path)) and not path.endswith(_WRAPPER)]
    if not own:
        return ""
    path, line = own[-1]
    inside = Path(path).is_absolute() and Path(path).is_relative_to(Path.cwd())
    return f"{Path(path).relative_to(Path.cwd()) if inside else path} line {line}"


def title(node: NodeProto) -> str:
    """Return `Conv 'node_conv2d_1' (net.features.3, stages/models/lenet.py line 46)`."""
    places = ", ".join(filter(None, (module(node), source(node))))
    return f"{node.op_type} {node.name or node.output[0]!r}" + (f" ({places})" if places else "")


def difference(flow: Flow, node: NodeProto, trusted: Flow, twin: NodeProto) -> str:
    """Return what distinguishes a node from its counterpart: operator, attributes, weights, what it reads."""
    found = []
    if node.op_type != twin.op_type:
        found.append(f"operator {node.op_type}, trusted {twin.op_type}")
    ours, theirs = _attributes(node), _attributes(twin)
    found += [
        f"attribute {name} {ours.get(name, 'absent')}, trusted {theirs.get(name, 'absent')}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    if len(node.input) != len(twin.input):
        found.append(f"{len(node.input)} inputs, trusted {len(twin.input)}")
    for name, other in zip(node.input, twin.input, strict=False):
        found += _input_difference(flow, name, trusted, other)
    return "; ".join(found[:_SHOWN])


def _attributes(node: NodeProto) -> dict[str, str]:
    return {a.name: str(helper.get_attribute_value(a)) for a in node.attribute}


def _input_difference(flow: Flow, name: str, trusted: Flow, other: str) -> list[str]:
    moving, other_moving = name in flow.makers, other in trusted.makers
    if moving or other_moving:
        same = name == other or not {name, other} & (set(flow.makers) & set(trusted.makers))
        return [] if moving and other_moving and same else [f"reads {name!r}, trusted {other!r}"]
    ours, theirs = flow.constant(name), trusted.constant(other)
    if ours is None or theirs is None or _equal(ours, theirs):
        return []
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return [f"{name} is {ours.dtype} {list(ours.shape)}, trusted {theirs.dtype} {list(theirs.shape)}"]
    wrong = int((ours != theirs).sum())
    apart = float(np.abs(ours.astype(np.float64) - theirs).max())
    return [f"{name} differs in {wrong} of {ours.size} values, by up to {apart:.3g}"]


def _equal(ours: Array, theirs: Array) -> bool:
    return ours.shape == theirs.shape and ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


def _is_torch(path: Path) -> bool:
    if path.is_absolute() or len(path.parts) > 1:
        return {"site-packages", "dist-packages"} & set(path.parts) != set() or path.is_relative_to(_TORCH.parent)
    return (_TORCH / "modules" / path).exists() or (_TORCH / path).exists()
