"""A verdict on one screen of the terminal."""

from collections.abc import Iterator

from deploy.passport import Check, Passport

_DETAIL = 96


def lines(passport: Passport, what: str) -> Iterator[str]:
    """Yield a line for each check, a sentence for a passing verdict, and what is not proven; `what` is the model."""
    width = max((len(check.name) for check in passport.checks), default=0)
    for check in passport.checks:
        yield f"{'pass' if check else 'FAIL'}  {check.name:<{width}}  {_measured(check):>14}  {_short(check.detail)}"
    if passport:
        where = " and ".join(passport.providers)
        yield f"verified on {where} with {passport.rows:,} rows: {what} answers as its reference does"
    if passport.reference:
        yield f"held against {passport.reference}"
    yield from (f"not proven: {words}" for words in passport.unproven)


def _measured(check: Check) -> str:
    if check.value is None:
        return ""
    return f"{check.value:.3g} of {check.limit:.3g}" if check.limit is not None else f"{check.value:.3g}"


def _short(text: str) -> str:
    return text if len(text) <= _DETAIL else f"{text[: _DETAIL - 1]}…"
