"""Recipes for sets of the UCR / UEA archive of time series. Each docstring gives command, time on one core, and result.

Options were chosen by holding out 30 % of the training series (`--set data.validation=0.3`, three splits), never by the
test series; the weights that are tested come from training on all of them, and are the last ones.
"""

from stages.recipe import Recipe, TrainConfig, use


def fcn_gunpoint() -> Recipe:
    """FCN on GunPoint: whether a hand draws a gun or points a finger.

    pipeline run fcn_gunpoint
    """
    return _fcn("fcn_gunpoint", "GunPoint")


def _fcn(name: str, archive_set: str, *, epochs: int = 150, **views: float) -> Recipe:
    return Recipe(
        name=name,
        data=use("ucr", set=archive_set),
        input=use("series", znorm=True),
        model=use("fcn", width=64),
        task=use("classify", **{"noise": 0.03, "scale": 0.1, **views}),
        train=TrainConfig(
            epochs=epochs,
            batch_size=16,
            lr=2e-3,
            weight_decay=0.01,
            schedule="onecycle",
            warmup=0.2,
            select="last",
            precision="fp32",
            channels_last=False,
            threads=1,
        ),
    )


def inceptiontime_arrowhead() -> Recipe:
    """InceptionTime on ArrowHead: the outlines of three kinds of stone arrow heads.

    pipeline run inceptiontime_arrowhead
    """
    return _inceptiontime("inceptiontime_arrowhead", "ArrowHead")


def _inceptiontime(name: str, archive_set: str, *, epochs: int = 150, **views: float) -> Recipe:
    return Recipe(
        name=name,
        data=use("ucr", set=archive_set),
        input=use("series", znorm=True),
        model=use("inceptiontime"),
        task=use("classify", **views),
        train=TrainConfig(
            epochs=epochs,
            batch_size=16,
            lr=2e-3,
            weight_decay=0.01,
            schedule="onecycle",
            warmup=0.2,
            select="last",
            precision="fp32",
            channels_last=False,
            threads=1,
        ),
    )
