"""Which tensor of a suspect graph is which of a trusted one."""

import ast
import re
from difflib import SequenceMatcher

from onnx import NodeProto

from stages.verify.blame.flow import Flow

_FX_NAME = re.compile(r"%(\w+)")


def match(suspect: Flow, trusted: Flow) -> dict[str, str]:
    """Return pairs of tensors, suspect to trusted: by name, then by the exporter's notes, then by order and operator.

    Names count only where most of those that both graphs have are made by the same operator: `t12` in files of two
    exporters means nothing.
    """
    nodes = _by_name(suspect, trusted)
    nodes |= _by_notes(suspect, trusted, nodes)
    nodes |= _by_order(suspect, trusted, nodes)
    pairs = dict(zip(suspect.inputs, trusted.inputs, strict=False))
    for ours, theirs in nodes.items():
        pairs |= dict(zip(suspect.nodes[ours].output, trusted.nodes[theirs].output, strict=False))
    return pairs | dict(zip(suspect.outputs, trusted.outputs, strict=False))


def match_names(suspect: Flow, names: list[str]) -> dict[str, str]:
    """Return the tensors of a suspect graph that are named, or noted by the exporter, as these."""
    known = set(names)
    pairs = {}
    for tensor, number in suspect.makers.items():
        node = suspect.nodes[number]
        noted = fx_name(node)
        if tensor in known:
            pairs[tensor] = tensor
        elif noted in known and tensor in suspect.outputs:
            pairs[tensor] = noted
    return pairs


def fx_name(node: NodeProto) -> str:
    """Return the name of the torch.fx node that a node was made from; empty when not noted."""
    found = _FX_NAME.match(note(node, "pkg.torch.onnx.fx_node"))
    return found[1] if found else ""


def note(node: NodeProto, key: str) -> str:
    """Return an entry of a node's metadata; empty when there is none."""
    return next((entry.value for entry in node.metadata_props if entry.key == key), "")


def scopes(node: NodeProto) -> list[str]:
    """Return the paths of the modules around a node, outermost first, without the root."""
    try:
        found = ast.literal_eval(note(node, "pkg.torch.onnx.name_scopes") or "[]")
    except (ValueError, SyntaxError):
        return []
    return [str(name) for name in found[:-1] if name] if isinstance(found, list) else []


def _by_name(suspect: Flow, trusted: Flow) -> dict[int, int]:
    shared = {
        number: trusted.makers[name] for name, number in suspect.makers.items() if trusted.makers.get(name) is not None
    }
    alike = sum(suspect.nodes[ours].op_type == trusted.nodes[theirs].op_type for ours, theirs in shared.items())
    return shared if 2 * alike > len(shared) else {}


def _by_notes(suspect: Flow, trusted: Flow, known: dict[int, int]) -> dict[int, int]:
    ours, theirs = (_noted(flow, taken) for flow, taken in ((suspect, set(known)), (trusted, set(known.values()))))
    alike = [key for key in ours if len(ours[key]) == len(theirs.get(key, ()))]
    return {a: b for key in alike for a, b in zip(ours[key], theirs[key], strict=True)}


def _noted(flow: Flow, taken: set[int]) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for number, node in enumerate(flow.nodes):
        if number not in taken and (name := fx_name(node)):
            found.setdefault((name, node.op_type), []).append(number)
    return found


def _by_order(suspect: Flow, trusted: Flow, known: dict[int, int]) -> dict[int, int]:
    """Align both lists of nodes; known pairs are their anchors, and gaps are paired from their ends.

    Nodes that compute sizes are left out. From the ends, because what one graph has folded away (a batch norm) comes
    first in the gap behind its convolution.
    """
    ours, theirs = suspect.of_values(), trusted.of_values()
    anchors = {b: f"#{b}" for b in known.values()}
    tokens = [anchors[known[a]] if a in known else _token(suspect, suspect.nodes[a]) for a in ours]
    others = [anchors.get(b) or _token(trusted, trusted.nodes[b]) for b in theirs]
    found: dict[int, int] = {}
    for kind, a, a_end, b, b_end in SequenceMatcher(None, tokens, others, autojunk=False).get_opcodes():
        if kind in ("equal", "replace"):
            found |= dict(zip(reversed(ours[a:a_end]), reversed(theirs[b:b_end]), strict=False))
    free = set(theirs) - set(known.values())
    return {a: b for a, b in found.items() if a not in known and b in free}


def _token(flow: Flow, node: NodeProto) -> str:
    """Return operator and shape of the first weight: a folded batch norm adds a bias, and nothing else that shows."""
    shape = next((list(flow.initializers[name].dims) for name in node.input if name in flow.initializers), [])
    return f"{node.op_type} {shape}"
