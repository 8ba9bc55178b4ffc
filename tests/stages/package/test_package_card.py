import dataclasses

from stages.package import card
from stages.result import VerifyResult


def test_samples_left_out_and_classes_of_different_size_are_told(colour_run: VerifyResult) -> None:
    trained = colour_run.exported.trained
    data = dataclasses.replace(trained.data, skipped=3, counts=(1200, 40))
    exported = dataclasses.replace(colour_run.exported, trained=dataclasses.replace(trained, data=data))
    told = card.of_run(dataclasses.replace(colour_run, exported=exported)).model
    assert (
        "(600 train, 100 validation, 400 test, 3 left out as unreadable, 40 to 1,200 of each class to train on)" in told
    )
    plain = card.of_run(colour_run).model
    assert "(600 train, 100 validation, 400 test)" in plain
