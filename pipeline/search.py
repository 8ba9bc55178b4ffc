"""Where to look next: Optuna's tree-structured Parzen estimator, as a function of what was tried."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deploy.errors import OnnxwayError
from pipeline.space import Choices, Settings, Span

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_ATTEMPTS = 20
_DIGITS = 4


class MissingOptunaError(OnnxwayError):
    """Optuna is not installed."""


def require_optuna() -> None:
    """Raise `MissingOptunaError`, which says how to install it, before anything is trained."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise MissingOptunaError("--search needs Optuna; run: pip install 'onnxway[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def propose(axes: Sequence[Choices | Span], tried: Mapping[Settings, float | None]) -> Settings | None:
    """Return the next point; None when no new one was found in 20 draws.

    tried    the score of each point so far, the larger the better; None for one that failed

    The same points tried give the same proposal, so that a search that was stopped goes on as if it had not been.
    """
    import optuna

    distributions = {axis.key: _distribution(axis) for axis in axes}
    for attempt in range(_ATTEMPTS):
        sampler = optuna.samplers.TPESampler(seed=len(tried) * _ATTEMPTS + attempt)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for settings, score in tried.items():
            state = optuna.trial.TrialState.FAIL if score is None else optuna.trial.TrialState.COMPLETE
            params = _params(axes, settings)
            trial = optuna.create_trial(params=params, distributions=distributions, value=score, state=state)
            study.add_trial(trial)
        drawn = study.ask(distributions).params
        point = tuple(f"{axis.key}={_text(axis, drawn[axis.key])}" for axis in axes)
        if point not in tried:
            return point
    return None


def _distribution(axis: Choices | Span) -> "BaseDistribution":
    from optuna import distributions

    if isinstance(axis, Choices):
        return distributions.CategoricalDistribution(axis.values)
    if axis.whole:
        return distributions.IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return distributions.FloatDistribution(axis.low, axis.high, log=axis.log)


def _text(axis: Choices | Span, value: Any) -> str:
    """Return a value as `--set` takes it; of a float four digits, which are enough to search by and can be read."""
    if isinstance(axis, Choices) or axis.whole:
        return str(value)
    return repr(min(axis.high, max(axis.low, float(f"{value:.{_DIGITS}g}"))))


def _params(axes: Sequence[Choices | Span], settings: Settings) -> dict[str, Any]:
    texts = dict(setting.split("=", 1) for setting in settings)
    return {axis.key: _value(axis, texts[axis.key]) for axis in axes}


def _value(axis: Choices | Span, text: str) -> Any:
    if isinstance(axis, Choices):
        return text
    return int(text) if axis.whole else float(text)
