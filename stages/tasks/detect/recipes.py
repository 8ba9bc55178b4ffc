"""Recipes for detection. Each docstring gives command, time on one CPU core, and result."""

from stages.recipe import Recipe, TrainConfig, use


def detector_digits() -> Recipe:
    """A small anchor-free detector of handwritten digits on canvases, among lines and scraps.

    pipeline run detector_digits

    """
    return Recipe(
        name="detector_digits",
        data=use("digit_canvases", train=12000),
        input=use("image", height=0, width=0, mean=(0.5,), std=(0.25,)),
        model=use("pyramid_small"),
        task=use("detect", score_threshold=0.1),
        train=TrainConfig(
            epochs=4,
            batch_size=16,
            lr=4e-3,
            weight_decay=0.02,
            schedule="onecycle",
            warmup=0.2,
            select="last",
            threads=1,
        ),
    )
