"""Circuit breakers: whether an attempt may begin, and when failures open one.

closed: attempts begin. open: none does before the cooldown is over. half open: one probe is tried, the others wait;
its success closes the breaker, its failure opens it again.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

PROBE_CHECK_MS = 1_000  # at the soonest, others look again whether a probe has ended: they are woken when it closes


class BreakerRule(NamedTuple):
    """What a step says of its breaker. Defaults are those of `flowctl.step`."""

    name: str
    failures: int = 5
    window_ms: int = 60_000
    cooldown_ms: int = 30_000
    open: Literal["wait", "fail"] = "wait"


class Breaker(NamedTuple):
    """One row of `breakers`."""

    namespace: str
    name: str
    state: Literal["closed", "open", "half_open"]
    failures: int
    window_ms: int
    cooldown_ms: int
    opened_at: int | None
    probe_run: int | None
    probe_step: str | None
    probe_epoch: int | None
    changed_at: int

    @property
    def opens_at(self) -> int:
        """Return when an open breaker lets a probe begin."""
        return (self.opened_at or 0) + self.cooldown_ms

    def holds(self, now: int) -> bool:
        """Tell whether it is open and lets no attempt begin yet.

        An instant of opening that lies ahead was read from a clock that has been set back since: it holds nobody up.
        """
        return self.state == "open" and (self.opened_at or 0) <= now < self.opens_at


class Verdict(NamedTuple):
    """Whether an attempt may begin: as the probe, or not before an instant at which it is to ask again."""

    probe: bool = False
    ask_again_at: int | None = None


def decide(breaker: Breaker | None, now: int, *, own: bool, probing: bool) -> Verdict:
    """Decide about an attempt: `own` if it is the recorded probe itself, `probing` if that is still under way."""
    if breaker is None or breaker.state == "closed":
        return Verdict()
    if breaker.state == "open":
        return Verdict(ask_again_at=breaker.opens_at) if breaker.holds(now) else Verdict(probe=True)
    if own or not probing:
        return Verdict(probe=True)
    return Verdict(ask_again_at=now + max(breaker.cooldown_ms, PROBE_CHECK_MS))


def after_failure(breaker: Breaker, rule: BreakerRule, recent: int, now: int, *, own: bool) -> Breaker:
    """Return a breaker after a failed attempt, of which so many were recent, this one included."""
    if breaker.state == "half_open" and not own:
        return breaker  # an attempt that began before it opened: the probe decides
    opens = breaker.state == "half_open" or (breaker.state == "closed" and recent >= rule.failures)
    if not opens:
        return breaker
    return closed(breaker, now)._replace(
        state="open",
        opened_at=now,
        failures=rule.failures,
        window_ms=rule.window_ms,
        cooldown_ms=rule.cooldown_ms,
    )


def closed(breaker: Breaker, now: int) -> Breaker:
    """Return a breaker that is closed."""
    nothing = {"opened_at": None, "probe_run": None, "probe_step": None, "probe_epoch": None}
    return breaker._replace(state="closed", changed_at=now, **nothing)  # type: ignore[arg-type]


def as_probe(breaker: Breaker, run_id: int, step: str, epoch: int, now: int) -> Breaker:
    """Return a breaker that tries an attempt of this step, in the hands of that epoch."""
    return breaker._replace(state="half_open", probe_run=run_id, probe_step=step, probe_epoch=epoch, changed_at=now)


def new(namespace: str, rule: BreakerRule, now: int) -> Breaker:
    """Return the breaker of a rule before anything has failed."""
    limits = (rule.failures, rule.window_ms, rule.cooldown_ms)
    return Breaker(namespace, rule.name, "closed", *limits, None, None, None, None, now)
