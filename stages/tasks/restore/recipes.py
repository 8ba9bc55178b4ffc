"""Recipes for restoration. Each docstring gives command, time and result."""

from stages.recipe import Recipe, TrainConfig, replace, use


def denoise_slices() -> Recipe:
    """DnCNN on slices of a brain taken at a low dose, of any size.

    pipeline run denoise_slices
    """
    return Recipe(
        name="denoise_slices",
        data=use("noisy_slices"),
        input=use("image", height=0, width=0),
        model=use("dncnn"),
        task=use("restore", flip=True),
        train=TrainConfig(
            epochs=6,
            batch_size=16,
            lr=2e-3,
            schedule="onecycle",
            warmup=0.1,
            precision="fp32",
            threads=1,
        ),
    )


def denoise_digits() -> Recipe:
    """DnCNN on handwritten digits under heavy noise.

    pipeline run denoise_digits
    """
    return replace(
        denoise_slices(),
        name="denoise_digits",
        data=use("noisy_digits"),
        model=use("dncnn", depth=6),
        task=use("restore"),
    )
