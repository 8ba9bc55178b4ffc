import numpy as np
import pytest
import torch

from deploy.errors import UsageError
from stages.dataset import DataInfo
from stages.tasks.embed.task import embed

INFO = DataInfo("pictures", ("height", "width", 1), ("a", "b"), "0" * 64, "generated", counts=(4, 4))


def test_every_view_is_a_class_of_its_own() -> None:
    picture = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    raw, targets = torch.from_numpy(np.stack([picture] * 200)), torch.ones(200, dtype=torch.long)
    views, classes = embed(INFO, turned=True).augment(raw, targets, torch.Generator().manual_seed(0))
    assert set(classes.tolist()) == set(range(8, 16))
    seen = {int(label): {v.numpy().tobytes() for v in views[classes == label]} for label in classes.unique()}
    assert all(len(one) == 1 for one in seen.values())
    assert len(set.union(*seen.values())) == 8
    assert seen[8] == {picture.tobytes()}
    assert seen[9] == {np.rot90(picture).tobytes()}
    assert seen[12] == {picture[:, ::-1].tobytes()}


def test_what_is_not_square_is_refused() -> None:
    for shape in ((2, "length"), (4, 5, 1)):
        with pytest.raises(UsageError, match=r"set task\.turned=false"):
            embed(DataInfo("x", shape, ("a", "b"), "0" * 64, "generated"), turned=True)
    raw, targets = torch.zeros(2, 4, 5, 1), torch.zeros(2, dtype=torch.long)
    with pytest.raises(UsageError, match="5 x 4 px"):
        embed(INFO, turned=True).augment(raw, targets, torch.Generator())
