"""The tracking store: its address, a client of it, what is registered there, and its failures in one line."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param

from deploy.errors import OnnxwayError

CHAMPION = "champion"
TAG = "onnxway"
_PARAMS_A_CALL, _VALUE_LENGTH = 100, 6000


class TrackingError(OnnxwayError):
    """MLflow could not be reached, or refused."""


def store() -> str:
    """Return the address of the tracking store."""
    return str(mlflow.get_tracking_uri())


@contextmanager
def speaking() -> Iterator[None]:
    """Turn whatever MLflow raises into one line that names the store."""
    try:
        yield
    except OnnxwayError:
        raise
    except Exception as error:
        raise TrackingError(
            f"MLflow ({store()}): {first_line(error)}; check MLFLOW_TRACKING_URI and the store: pipeline doctor"
        ) from error


def client() -> Any:
    """Return a client of the tracking store, which is made first if it is a database that is not there yet.

    Two processes that make one database at once can leave it unusable, hence the lock.
    """
    with speaking(), _database_lock():
        made = mlflow.MlflowClient()
        made.search_experiments(max_results=1)
        return made


def download(address: str, target: Path) -> Path:
    """Fetch artefacts (`runs:/<id>/<path>`, `models:/<name>/<version>/<path>`) into a folder; return where they are."""
    with speaking():
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(target)))


def models() -> dict[str, list[Any]]:
    """Return the registered models by name, each with its versions, the newest first; versions know their aliases."""
    api = client()
    with speaking():
        found: dict[str, list[Any]] = {}
        for model in api.search_registered_models():
            versions = api.search_model_versions(f"name='{model.name}'")
            for version in versions:  # a search leaves aliases out
                version.aliases = [a for a, number in model.aliases.items() if str(number) == str(version.version)]
            found[model.name] = sorted(versions, key=lambda version: int(version.version), reverse=True)
        return found


def set_alias(name: str, alias: str, version: str) -> None:
    """Point an alias of a registered model to a version."""
    api = client()
    with speaking():
        api.set_registered_model_alias(name, alias, version)


def run_tags(run_id: str) -> dict[str, str]:
    """Return the tags of a run; `TrackingError` when there is no such run."""
    api = client()
    with speaking():
        return dict(api.get_run(run_id).data.tags)


def log_params(params: dict[str, str]) -> None:
    """Log parameters to the active run, in as few calls as the store takes."""
    entries = [Param(key, value[:_VALUE_LENGTH]) for key, value in params.items()]
    for start in range(0, len(entries), _PARAMS_A_CALL):
        run_id = mlflow.active_run().info.run_id
        mlflow.MlflowClient().log_batch(run_id, params=entries[start : start + _PARAMS_A_CALL])


def metric_entries(values: dict[str, float], step: int) -> list[Any]:
    """Return figures measured at a step in MLflow's form, for `log_batch`."""
    now = mlflow.utils.time.get_current_time_millis()
    return [Metric(name, float(value), now, step) for name, value in values.items()]


def first_line(error: BaseException) -> str:
    """Return what went wrong in MLflow, in one line."""
    text = str(error).strip().partition("\n")[0].rstrip(".;") or type(error).__name__
    if "Max retries exceeded" in text:
        cause = re.search(r"\[Errno -?\d+\] ([\w ]+)", text)
        return f"no connection ({cause[1] if cause else 'given up after several attempts'})"
    return text


@contextmanager
def _database_lock() -> Iterator[None]:
    address = store()
    if not address.startswith("sqlite:///"):
        yield
        return
    with Path(f"{address.removeprefix('sqlite:///')}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
