"""The run of a sweep: the runs of its points are its children."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow

from pipeline.failures import InterruptedStageError
from pipeline.tracking.store import TAG, client, log_params, speaking


@contextmanager
def sweep_run(name: str, params: dict[str, str], run_id: str) -> Iterator[str]:
    """Open the run of a sweep, that of `run_id` again if it is there, and yield its id; runs inside become children.

    It ends FINISHED, FAILED or, after Ctrl-C, KILLED. Started by `mlflow run`, it is the run that this made.
    """
    api = client()
    with speaking():
        if not os.environ.get("MLFLOW_RUN_ID") and _is_there(run_id):
            active = mlflow.start_run(run_id=run_id)
        else:
            active = mlflow.start_run(run_name=None if os.environ.get("MLFLOW_RUN_ID") else name)
        known = api.get_run(active.info.run_id).data.params
        log_params({key: value for key, value in params.items() if key not in known})
        mlflow.set_tag(f"{TAG}.sweep", name)
    status = "FINISHED"
    try:
        yield active.info.run_id
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt | InterruptedStageError) else "FAILED"
        raise
    finally:
        mlflow.end_run(status)


def log_sweep(table: str, best: dict[str, float]) -> None:
    """Log the table of points and the figures of the best one to the active run."""
    with speaking():
        mlflow.log_text(table, "points.txt")
        mlflow.log_metrics(best)


def _is_there(run_id: str) -> bool:
    try:
        return bool(run_id) and mlflow.MlflowClient().get_run(run_id).info.lifecycle_stage == "active"
    except mlflow.MlflowException:
        return False
