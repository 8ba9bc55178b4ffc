"""What the server says of itself on stderr: lines of JSON, as those of the access log."""

import json
import logging
import time


class Lines(logging.Formatter):
    """{"time":"2026-01-31T12:00:00Z","level":"warning","event":"model refused, ..."}, and the traceback of a defect."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        line = {"time": when, "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, separators=(",", ":"))


def show(level: str = "info") -> None:
    """Write what the package logs to stderr, from `level` up, unless the application has arranged for it already."""
    # what it warns of in forms is the client's fault, is answered to it, and would be no line of JSON here
    logging.getLogger("python_multipart").addHandler(logging.NullHandler())
    logger = logging.getLogger("deploy")
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logger.addHandler(handler)
    logger.setLevel(level.upper())
