"""Recipes for poems. Each docstring gives command, time on one core, and result."""

from stages.recipe import Recipe, TrainConfig, replace, use


def poem_quatrains() -> Recipe:
    """Tang quatrains by a causal dilated CNN: a title or a first line in, a poem out.

    pipeline run poem_quatrains
    """
    return Recipe(
        name="poem_quatrains",
        data=use("quatrains"),
        input=use("text", size=4000, lowercase=False),
        model=use("causal_cnn", dropout=0.25),
        task=use("generate"),
        train=TrainConfig(
            epochs=5,
            batch_size=32,
            lr=4e-3,
            weight_decay=0.05,
            schedule="onecycle",
            warmup=0.15,
            clip_norm=1.0,
            precision="bf16",
            threads=1,
        ),
    )


def poem_quatrains_gru() -> Recipe:
    """The same by a GRU, to compare.

    pipeline run poem_quatrains_gru
    """
    return replace(poem_quatrains(), name="poem_quatrains_gru", model=use("char_gru", dropout=0.25))
