"""Recipes for classification. Each docstring gives command, time on 2 CPU cores, and result."""

from stages.recipe import Recipe, TrainConfig, use


def lenet_digits() -> Recipe:
    """LeNet-5 on scikit-learn's digits: the embedded default, no network needed.

    pipeline run lenet_digits
    """
    return Recipe(
        name="lenet_digits",
        data=use("digits"),
        input=use("image", height=28, width=28),
        model=use("lenet5"),
        task=use("classify"),
        train=TrainConfig(epochs=15, batch_size=64, lr=3e-3, weight_decay=0.01, schedule="onecycle", warmup=0.2),
    )
