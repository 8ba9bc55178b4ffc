"""Recipes for restoration. Each docstring gives command, time and result."""

from stages.recipe import Recipe, TrainConfig, replace, use


def denoise_slices() -> Recipe:
    """DnCNN on slices of a brain taken at a low dose, of any size.

    pipeline run denoise_slices

    Trains in 113 s of one core; on 49 whole slices of another brain it gains 5.16 dB (21.30 to 26.46 dB PSNR; SSIM
    0.451 to 0.833; one seed).
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

    Trains in 114 s of one core; on 2,000 test digits it gains 7.65 dB (16.40 to 24.06 dB PSNR; SSIM 0.394 to 0.915; one
    seed).
    """
    return replace(
        denoise_slices(),
        name="denoise_digits",
        data=use("noisy_digits"),
        model=use("dncnn", depth=6),
        task=use("restore"),
    )
