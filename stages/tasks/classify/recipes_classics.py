"""The classic CNNs of pictures, one small real recipe each, on hand signs of emoji (see `stages/data/hand_signs.py`).

Five drawings of each of 43 signs are few for networks of millions of weights that start at random, and the test is on
another vendor's drawings: these recipes are there to walk each network the whole way, not to show what it can do. Each
docstring gives command, time on one core, and result. On a folder of your own: `pipeline run image_folder --set
data.path=FOLDER --set model=vgg`, and `--set model.weights=imagenet` where there is a network to fetch them by.
"""

from stages.recipe import Component, Recipe, TrainConfig, use


def alexnet_emoji() -> Recipe:
    """AlexNet, with convolutions in two groups and dropout, on hand signs.

    pipeline run alexnet_emoji

    Trains in 220 s on one core to 25.2 % of the 258 drawings of the other vendor (one seed), and to 86 % of the known
    drawings in a skin tone that training has not seen.
    """
    return _emoji("alexnet_emoji", use("alexnet", groups=2), side=64, lr=3e-4, epochs=40)


def vgg_emoji() -> Recipe:
    """VGG of 11 layers with batch norm on hand signs.

    pipeline run vgg_emoji

    Trains in 115 s on one core to 24.4 % of the other vendor's drawings, and to 93 % in the other skin tone (one seed).
    """
    return _emoji("vgg_emoji", use("vgg", depth=11, batch_norm=True), side=32, lr=5e-4, epochs=30)


def googlenet_emoji() -> Recipe:
    """GoogLeNet with its two auxiliary losses in training, and without them in the exported graph, on hand signs.

    pipeline run googlenet_emoji

    Trains in 70 s on one core to 23.6 % of the other vendor's drawings, and to 91 % in the other skin tone (one seed).
    """
    return _emoji("googlenet_emoji", use("googlenet"), side=64, lr=1e-3, epochs=30)


def inception_v3_emoji() -> Recipe:
    """Inception v3 with its auxiliary loss in training on hand signs.

    pipeline run inception_v3_emoji

    Trains in 220 s on one core to 27.9 % of the other vendor's drawings, and to 84 % in the other skin tone (one seed);
    in 20 epochs, by which its loss had not come down, to 10.1 and 26 %.
    """
    return _emoji("inception_v3_emoji", use("inception_v3"), side=75, lr=1e-3, epochs=50)


def densenet_emoji() -> Recipe:
    """DenseNet-BC of 40 layers on hand signs.

    pipeline run densenet_emoji

    Trains in 66 s on one core to 28.3 % of the other vendor's drawings, and to 91 % in the other skin tone (one seed).
    """
    return _emoji("densenet_emoji", use("densenet_bc"), side=32, lr=3e-3, epochs=30)


def _emoji(name: str, model: Component, *, side: int, lr: float, epochs: int) -> Recipe:
    return Recipe(
        name=name,
        data=use("hand_signs"),
        input=use("image", height=side, width=side, mean=(0.83,), std=(0.25,)),
        model=model,
        task=use("classify", rotate_deg=10.0, translate=0.1, scale=0.15, label_smoothing=0.1),
        train=TrainConfig(
            epochs=epochs,
            batch_size=32,
            lr=lr,
            weight_decay=0.02,
            schedule="onecycle",
            warmup=0.2,
            select="last",
            threads=1,
        ),
    )
