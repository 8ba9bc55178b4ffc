"""How a stage tells what it does, without knowing who listens: a terminal, MLflow, a test, nobody."""


class Observer:
    """Listens to nothing; whoever wants to hear overrides a method."""

    def say(self, line: str) -> None:
        """One line for a person."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Work done so far, in steps; called often, so it must be cheap."""

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Figures measured at a step (an epoch, for training)."""
