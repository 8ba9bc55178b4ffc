"""Recipes for recommendation. Each docstring gives command, time on one core, and result.

Results are those of finding each user's last film, by 671 users: hit rates at 10 and NDCG at 10 (`measures.py`).
"""

from stages.recipe import Component, Recipe, TrainConfig, VerifyConfig, use


def popularity_movielens() -> Recipe:
    """Films by how often they were rated, for everybody the same: what the others have to beat.

    pipeline run popularity_movielens

    Takes 5 s on one core. Among 99 other films drawn by chance HR@10 is 0.5514 and NDCG@10 0.3281; among all films that
    the user had not rated 0.0417 and 0.0194.
    """
    return _movielens("popularity_movielens", use("matrix_factorisation", size=1, deviation=0.0), epochs=1, lr=1e-6)


def mf_movielens() -> Recipe:
    """Matrix factorisation: a vector for each user and each film.

    pipeline run mf_movielens

    Trains in 20 s on one core to HR@10 0.6900 and NDCG@10 0.4594 among 99 others; among all films 0.0671 and 0.0325
    (one seed).
    """
    return _movielens("mf_movielens", use("matrix_factorisation"), epochs=6, lr=5e-3)


def caser_movielens() -> Recipe:
    """Caser: convolutions over the films that a user rated last.

    pipeline run caser_movielens

    Trains in 50 s on one core to HR@10 0.7139 and NDCG@10 0.4928 among 99 others; among all films 0.0999 and 0.0527
    (one seed). With little weight decay it soon knows the training films by heart: of the last five films, not ten,
    HR@10 among all films was 0.091 on validation data with 0.01, and 0.112 with 0.5.
    """
    caser = use("caser", length=10, horizontal=4, vertical=8, dropout=0.3)
    return _movielens("caser_movielens", caser, epochs=4, lr=5e-3, weight_decay=0.5)


def convncf_movielens() -> Recipe:
    """ConvNCF: convolutions over the outer product of a user's vector and a film's.

    pipeline run convncf_movielens

    Trains in 110 s on one core to HR@10 0.7064 and NDCG@10 0.4751 among 99 others; among all films 0.0775 and 0.0386
    (one seed).
    """
    return _movielens("convncf_movielens", use("convncf"), epochs=3, lr=4e-3, batch_size=32)


def _movielens(
    name: str, model: Component, *, epochs: int, lr: float, weight_decay: float = 0.01, batch_size: int = 512
) -> Recipe:
    return Recipe(
        name=name,
        data=use("movielens"),
        input=use("history"),
        model=model,
        task=use("recommend"),
        train=TrainConfig(
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            schedule="onecycle",
            warmup=0.1,
            precision="fp32",
            channels_last=False,
            threads=1,
        ),
        verify=VerifyConfig(max_batch=16),
    )
