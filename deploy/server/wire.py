"""An answer as it goes over a connection, whatever writes it there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.server.statistics import Timing


@dataclass(frozen=True, slots=True)
class Wire:
    """One HTTP answer.

    status    HTTP status
    headers   names as they are written, values in ASCII; Content-Length is among them
    body      parts to be written one after another; tensors are views of the arrays that hold them
    timing    of the inference that it answers, for logs and traces
    """

    status: int
    headers: list[tuple[str, str]]
    body: list[bytes | memoryview]
    timing: "Timing | None" = None

    @property
    def length(self) -> int:
        """Bytes in the body."""
        return sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in self.body)
