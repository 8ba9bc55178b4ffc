"""What one client may cost the server."""

from dataclasses import dataclass

from deploy.errors import UsageError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what clients send and on how long they may take; sizes in bytes, times in seconds.

    head            request line and headers; more is answered with 431
    headers         number of headers; more is answered with 431
    target          the path and query of a request; more is answered with 414
    body            one body; more is answered with 413: at once when Content-Length says so, chunked as it grows
    buffered        bodies of all connections together; beyond it 503
    connections     open at once; one more is closed as it comes
    pipelined       requests that one connection may have waiting; those beyond are left to be sent again
    head_s          from a request's first byte to the end of its headers; later 408
    body_s          for the body after that, and a second more for each `body_rate` bytes that came; later 408
    idle_s          a connection without a request is closed after it; above the 60 s of common load balancers
    write_s         an answer of which the client takes nothing for this long is given up
    linger_s        after a refusal, how long what the client still sends is read and dropped: it is to see the answer
    """

    head: int = 32 * 1024
    headers: int = 100
    target: int = 8 * 1024
    body: int = 64 * 2**20
    buffered: int = 2**30
    connections: int = 20_000
    pipelined: int = 64
    head_s: float = 10.0
    body_s: float = 30.0
    body_rate: float = 4096.0
    idle_s: float = 75.0
    write_s: float = 30.0
    linger_s: float = 1.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"limit {name}: got {value}, expected a number above 0")

    @property
    def tick_s(self) -> float:
        """How often deadlines are looked at: a quarter of the shortest, between 20 ms and 1 s."""
        shortest = min(self.head_s, self.body_s, self.idle_s, self.write_s, self.linger_s)
        return min(1.0, max(0.02, shortest / 4))
