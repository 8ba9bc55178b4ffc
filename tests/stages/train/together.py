"""Run by torchrun, once for each process: trains a recipe on the first digits, with a fault where one is asked for."""

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

from deploy.schema import from_plain
from stages import discover, train
from stages.dataset import Split
from stages.errors import TrainingError
from stages.ranks import ranks
from stages.recipe import Recipe, use
from stages.train.losses import Losses

out, fault, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
recipe = from_plain(Recipe, json.loads(sys.argv[4]))
sizes = json.loads(sys.argv[5])

whole = discover.call("data", use("digits"), Path("unused"))
data = dataclasses.replace(
    whole, **{n: Split(getattr(whole, n).inputs[:r], getattr(whole, n).targets[:r]) for n, r in sizes.items()}
)
add = Losses.add


def faulty(self, step, rows, loss):
    if step == at and fault == "error" and ranks().rank == 1:
        raise TrainingError("this process has had enough")
    if step == at and fault == "signal" and ranks().leads:
        waiting = signal.getsignal(signal.SIGTERM)
        os.kill(os.getppid(), signal.SIGTERM)  # to torchrun, which passes it on
        while signal.getsignal(signal.SIGTERM) == waiting:  # it comes in the middle of a step
            time.sleep(0.01)
    add(self, step, rows, loss)


Losses.add = faulty
try:
    train.run(recipe, data, out)
except (TrainingError, KeyboardInterrupt) as error:
    sys.exit(f"process {ranks().rank}: {type(error).__name__}: {error}")
