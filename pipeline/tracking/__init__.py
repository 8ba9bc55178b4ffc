"""MLflow: one parent run for a pipeline, one nested run a stage, the bundle as a registered model.

Nothing outside this package imports mlflow. Logging never costs a result: results are on disk before they are logged;
the first failure is remembered, later logging is skipped, and at the end `TrackingError` says how to log what is
missing (the same command does it). `mlflow.json` in the run folder remembers where each stage is logged: a kept one is
not logged twice.
"""

import logging
import os

# Set before the import, which reads them; a user's own values win.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # of 7, which are minutes of silence

import mlflow

from pipeline.tracking.stagelog import BUNDLE_FILES, CANDIDATE, StageLog
from pipeline.tracking.store import (
    CHAMPION,
    TAG,
    TrackingError,
    client,
    download,
    models,
    run_tags,
    set_alias,
    speaking,
    store,
)
from pipeline.tracking.sweep import log_sweep, sweep_run
from pipeline.tracking.tracker import Tracker

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)

__all__ = [
    "BUNDLE_FILES",
    "CANDIDATE",
    "CHAMPION",
    "TAG",
    "StageLog",
    "Tracker",
    "TrackingError",
    "client",
    "download",
    "log_sweep",
    "mlflow",
    "models",
    "run_tags",
    "set_alias",
    "speaking",
    "store",
    "sweep_run",
]
