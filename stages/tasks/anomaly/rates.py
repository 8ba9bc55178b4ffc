"""Figures of scores: how well they tell normal samples from others, and what the threshold makes of them."""

from collections.abc import Mapping

import numpy as np

from stages.dataset import Array


def kinds(targets: Array) -> Array:
    """Return the kind of each sample (N,), 0 for normal: targets themselves, or of those for each place the largest."""
    found: Array = targets if targets.ndim == 1 else targets.reshape(len(targets), -1).max(axis=1)
    return found


def figures(outputs: Mapping[str, Array], targets: Array, labels: tuple[str, ...]) -> dict[str, float]:
    """Return typicality and, where there are normal samples and others, how well these are told apart.

    typicality            minus the mean score of normal samples: larger is better where there are no others
    auroc                 probability that another sample has a larger score than a normal one; auroc_<label> by kind
    pixel_auroc           the same for places, where targets say which are defective
    false_alarm_rate, detection_rate    share of normal samples, and of others, above the threshold
    """
    found = kinds(targets)
    normal = found == 0
    score = outputs["score"].astype(np.float64)
    known = {"typicality": -float((score[normal] if normal.any() else score).mean())}
    if normal.all() or not normal.any():
        return known
    above = outputs["is_anomaly"] == 1
    known |= {
        "auroc": auroc(~normal, score),
        "false_alarm_rate": float(above[normal].mean()),
        "detection_rate": float(above[~normal].mean()),
    }
    for kind in np.unique(found[~normal]).tolist() if len(labels) > 2 else ():
        some = normal | (found == kind)
        known[f"auroc_{labels[kind].replace(' ', '_')}"] = auroc(~normal[some], score[some])
    if targets.ndim > 1 and targets.shape == outputs["score_map"].shape:
        known["pixel_auroc"] = auroc(targets.ravel() > 0, outputs["score_map"].ravel())
    return known


def auroc(positive: Array, scores: Array) -> float:
    """Return the area under the receiver operating characteristic (scikit-learn's), in [0, 1]."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, scores))
