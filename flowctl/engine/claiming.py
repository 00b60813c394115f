"""What an engine claims, and when it looks: due runs that it can serve, within its capacity."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple

from flowctl.core.model import Run
from flowctl.engine import offers
from flowctl.engine.admission import Admission, Keys
from flowctl.store.runs import Reach

if TYPE_CHECKING:
    from flowctl.engine.engine import Engine

LEFT_MS = 10_000  # before a run that was taken from an engine, and then not claimed, is claimed by it again


class Role(NamedTuple):
    """What an engine is for."""

    kind: Literal["foreground", "daemon"] = "foreground"
    labels: tuple[str, ...] = ()  # what it has that runs may require: "gpu", "ram=32"
    queues: tuple[str, ...] | None = None  # the only queues it serves
    capacity: int = 8  # runs at once
    poll_s: float = 0.2  # how often the file is asked for changes that nobody rang the doorbell for
    stop_grace_s: float = 2.0  # what bodies that run get to finish when it is stopped


ROLE = Role()


class Claims:
    """The claims of one engine."""

    def __init__(self, engine: Engine, role: Role) -> None:
        self._engine = engine
        self._role = role
        self._keys = Keys(engine.store)
        self._had: set[int] = set()
        self._lost: dict[int, int] = {}  # runs that another engine has taken, and until when it may have them
        self._root: int | None = None  # of the family that is followed; None: every run
        self._wake_at: int | None = None  # when a run that waits now is due
        self._opens_at: int | None = None  # when a rate limit lets another run begin
        self.look = True  # whether there may be something to claim

    def _reach_at(self, now: int) -> Reach:
        """Return which due runs the engine may take: none that is on offer, or that another engine is to have.

        What a person follows here may begin here, whatever it requires: no other engine may take it.
        """
        names = tuple(name for label in self._role.labels for name in (label, label.partition("=")[0]))
        lost = {run_id for run_id, until in self._lost.items() if until > now}
        skip = frozenset(offers.offered(self._engine) | lost)
        labels = names if self._root is None else None
        return Reach(self._engine.id, labels, self._role.queues, self._root, skip=skip)

    def follow(self, root_id: int) -> None:
        """Claim only runs of this family from now on."""
        self._root = root_id
        self.look = True

    def has_had(self, run_id: int) -> bool:
        """Tell whether this engine has worked on the run."""
        return run_id in self._had

    def has_lost(self, run_id: int) -> bool:
        """Tell whether another engine has taken the run from this one."""
        return run_id in self._lost

    def lose(self, run_id: int) -> None:
        """Leave a run to the engine that has taken it."""
        self._lost[run_id] = self._engine.now + LEFT_MS

    def may_begin(self) -> bool:
        """Tell whether the engine may begin another run."""
        return not self._engine.stopping and self.room > 0

    @property
    def room(self) -> int:
        """Return how many more runs the engine can work on."""
        return self._role.capacity - sum(session.phase != "over" for session in self._engine.sessions.values())

    def wakes(self, now: int) -> bool:
        """Tell whether a run has become due by itself since the engine looked."""
        return self._wake_at is not None and self._wake_at <= now and self.may_begin()

    def seconds_left(self, now: int) -> float:
        """Return how long until another run may begin, as far as that is known."""
        if not self.may_begin():
            return inf
        if self.look:  # a run has ended, its place is free
            return 0.0
        return (self._wake_at - now) / 1000 if self._wake_at is not None else inf

    def due(self, now: int, count: int) -> list[int]:
        """Return so many runs that may begin, and are on offer to no executor."""
        return self._choose(Admission(self._engine.store, now, self._keys), now, count)

    def _choose(self, admission: Admission, now: int, count: int) -> list[int]:
        found = admission.choose(self._reach_at(now), count)
        self._opens_at = admission.opens_at
        return found

    def offerable(self, now: int, count: int) -> list[int]:
        """Return so many runs that are due and will be later too, whatever begins meanwhile: no limit holds them."""
        return Admission(self._engine.store, now, self._keys).choose_unlimited(self._reach_at(now), count)

    def claim_due(self, begin: Callable[[Run], None]) -> None:
        """Claim what is due and fits, and begin it. Belongs into the engine's transaction."""
        now = self._engine.now
        self.look = False
        if self.room > 0:
            self._claim_chosen(begin, now)
        wakes = [self._next_wake(now), self._opens_at, *self._lost.values()]
        self._wake_at = min((wake for wake in wakes if wake is not None and wake > now), default=None)

    def _claim_chosen(self, begin: Callable[[Run], None], now: int) -> None:
        admission = Admission(self._engine.store, now, self._keys)
        for run_id in self._choose(admission, now, self.room):
            if offers.begin_ahead(self._engine, run_id):
                continue
            run = self.claim(run_id, now)
            if run is not None:
                # Not the tick's instant: the transaction may have waited long for another engine's.
                admission.count_start(run, self._engine.clock.now())
                begin(run)

    def _next_wake(self, now: int) -> int | None:
        """Return when a run that waits now is due; what is due already and has found no place lines up."""
        runs = self._engine.store.runs
        wake_at = runs.next_wake(0)
        if wake_at is not None and wake_at <= now:
            runs.line_up(now)
            wake_at = runs.next_wake(now)
        return wake_at if self._root is None else runs.next_wake(now, root_id=self._root)

    def claim(self, run_id: int, started_at: int, attempt: int | None = None) -> Run | None:
        """Take a run that is due. None when it is not any more, or this engine may begin no more runs.

        With `attempt`, None also when another engine has had it, or a person has had it tried again.
        """
        engine = self._engine
        if engine.stopping or self._lost.get(run_id, 0) > engine.now:
            return None
        run = engine.store.runs.claim(run_id, engine.id, engine.now, started_at, attempt)
        if run is not None and self._root is not None:  # only who follows a run asks
            self._had.add(run_id)
        return run
