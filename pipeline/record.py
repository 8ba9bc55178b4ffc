"""`mlflow.json` in a run folder: where its stages are logged, so that a kept one is not logged twice."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from deploy import files
from deploy.errors import UsageError
from deploy.schema import from_plain, to_plain

RECORD = "mlflow.json"


@dataclass
class Record:
    """What is logged of a run folder in one store, by its address.

    parent    id of the parent run
    stages    {"train": {"run": id of the nested run, "key": key of its inputs}}; package has "model": name/version
    open      id of the nested run of a stage under way; still there later, it tells of a process that was killed
    """

    store: str
    parent: str = ""
    stages: dict[str, dict[str, str]] = field(default_factory=dict)
    open: str = ""

    @classmethod
    def load(cls, run: Path, store: str) -> "Record":
        """Read the record of a run folder; an empty one when there is none for this store."""
        try:
            record = from_plain(cls, json.loads((run / RECORD).read_bytes()))
        except (OSError, ValueError, UsageError):
            return cls(store)
        return record if record.store == store else cls(store)

    def save(self, run: Path) -> None:
        """Write the record."""
        files.write_json(run / RECORD, to_plain(self))
