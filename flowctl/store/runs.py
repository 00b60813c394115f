"""Runs: creation, claims, every change of state, and the questions about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flowctl.core.errors import ClaimLost, Conflict, NotFound
from flowctl.core.listing import RunFilter, RunLine
from flowctl.core.model import HELD_AT, Claim, NewRun, Replay, Request, Run, RunState
from flowctl.core.policy import error_text, summary
from flowctl.store.connection import Connection, Row
from flowctl.store.payloads import Payloads, pack, read_column
from flowctl.store.queries import load
from flowctl.store.steps import Steps
from flowctl.store.walks import best_walk, parameters, walks

SQL = load("runs")
_FIND = {
    "id": "find", "namespace": "find_namespace", "state": "find_state", "workflow": "find_workflow",
    "schedule": "find_schedule",
}  # fmt: skip
_NUMBERS = {
    "id": "numbers", "namespace": "numbers_namespace", "state": "numbers_state", "workflow": "numbers_workflow",
    "schedule": "numbers_schedule",
}  # fmt: skip
_LINE_UP_LIMIT = 500  # what one transaction queues: others wait for it


class Due(NamedTuple):
    """A run and the queue it is in."""

    id: int
    namespace: str
    queue: str


class Reach(NamedTuple):
    """Which due runs an engine may take: those it has labels for, in the queues it serves that are not full.

    With `root_id` only the family of that run, which it has reserved.
    """

    engine_id: int
    labels: tuple[str, ...] | None = ()  # None: whatever runs require
    queues: tuple[str, ...] | None = None
    root_id: int | None = None
    full: frozenset[tuple[str, str]] = frozenset()  # (namespace, queue)
    skip: frozenset[int] = frozenset()  # runs that it is not to take

    @property
    def parameters(self) -> dict[str, str | None]:
        """Return what the blocks of SQL take."""
        full = ["\x1f".join(each) for each in self.full]
        return {
            "labels": None if self.labels is None else json.dumps(self.labels),
            "queues": None if self.queues is None else json.dumps(self.queues),
            "full": json.dumps(full) if full else None,
            "skip": json.dumps([*self.skip]) if self.skip else None,
        }


class Runs:
    """The runs of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection, payloads: Payloads, steps: Steps) -> None:
        self._connection = connection
        self._payloads = payloads
        self._steps = steps

    # -- creation and questions

    def create(self, new: NewRun, now: int) -> tuple[int, bool]:
        """Return the number of the new run and True, or of the run that has its idempotency key already and False.

        Raises Conflict when that run has another workflow or other input.
        """
        if new.key is not None:
            found = self._connection.row(SQL["of_key"], {"namespace": new.namespace, "key": new.key})
            if found is not None:
                return _same(new, found), False
        stored, crc = pack(new.input)
        fields = new._asdict() | {
            "options": _json(new.options),
            "tags": _json(new.tags),
            "requires": json.dumps(new.options["requires"]) if new.options.get("requires") else None,
            "input": stored,
            "input_crc": crc,
            "now": now,
        }
        (created,) = self._connection.write(SQL["create"], fields)
        self._payloads.spill(stored, new.input)
        return created[0], True

    def get(self, run_id: int, namespace: str | None = None) -> Run:
        """Return a run. Raises NotFound."""
        row = self._connection.row(SQL["get"], {"run": run_id, "namespace": namespace})
        if row is None:
            where = f" in the namespace {namespace}" if namespace is not None else ""
            raise NotFound(f"there is no run {run_id}{where}", "See the runs with: flowctl ls")
        return self._run(row)

    def find(self, filter: RunFilter) -> list[Run]:
        """Return the runs that a filter means, the newest first, at most `limit` with a number below `before`."""
        rows: list[Row] = []
        for state in walks(filter):
            rows += self._connection.rows(SQL[_FIND[best_walk(filter, state)]], parameters(filter, state))
        rows.sort(key=lambda row: int(row[0]), reverse=True)
        return [self._run(row) for row in rows[: filter.limit]]

    def numbers(self, filter: RunFilter) -> list[int]:
        """Return the numbers of the runs that a filter means, the newest first: a list of 100,000 is one short read."""
        if filter == RunFilter(filter.namespace, limit=filter.limit) and filter.namespace is not None:
            found: list[tuple[str, RunState | None]] = [("numbers_all", None)]
        else:
            found = [(_NUMBERS[best_walk(filter, state)], state) for state in walks(filter)]
        numbers: list[int] = []
        for name, state in found:
            numbers += json.loads(self._connection.value(SQL[name], parameters(filter, state)))
        return sorted(numbers, reverse=True)[: filter.limit]

    def lines(self, numbers: Iterable[int]) -> dict[int, RunLine]:
        """Return what a list shows of runs, by number. Those that are gone are left out."""
        rows = self._connection.rows(SQL["lines"], {"runs": json.dumps(list(numbers))})
        return {row[0]: RunLine._make(row)._replace(tags=json.loads(row[7])) for row in rows}

    def last(self, namespace: str, workflow: str | None = None, states: tuple[RunState, ...] = ()) -> Run:
        """Return the newest run: `@last`, `@failed`, `NAME@last`. Raises NotFound."""
        found = self.find(RunFilter(namespace=namespace, workflow=workflow, states=states, limit=1))
        if not found:
            kind = " ".join(("a", *states[:1], "run")) if states else "a run"
            of = f" of {workflow}" if workflow else ""
            raise NotFound(f"there is no {kind.removeprefix('a ')}{of} yet", "See the runs with: flowctl ls")
        return found[0]

    def children(self, run_id: int) -> list[Run]:
        """Return the runs that a run started, the oldest first."""
        return self._runs(SQL["children"], {"run": run_id})

    def family(self, root_id: int) -> list[Run]:
        """Return a run at the top and all runs below it, the oldest first."""
        return self._runs(SQL["family"], {"run": root_id})

    def family_moves(self, root_id: int) -> bool:
        """Tell whether some run of a family goes on by itself, now or later."""
        return self._connection.row(SQL["family_moves"], {"root": root_id}) is not None

    def forks(self, run_id: int) -> list[Run]:
        """Return the runs that were forked from a run, the oldest first."""
        return self._runs(SQL["forks"], {"run": run_id})

    def reruns(self, run_id: int) -> list[Run]:
        """Return the runs that started a run anew, the oldest first."""
        return self._runs(SQL["reruns"], {"run": run_id})

    def handlers(self, run_id: int) -> list[Run]:
        """Return the runs of the `on_failure` workflow that a run's failures have started, the oldest first."""
        return self._runs(SQL["handlers"], {"run": run_id})

    def child_of(self, parent_id: int, parent_step: str) -> Run | None:
        """Return the child run that answers a step of its parent."""
        row = self._connection.row(SQL["child_of"], {"run": parent_id, "step": parent_step})
        return None if row is None else self._run(row)

    def counts(self, namespace: str) -> dict[str, int]:
        """Return how many runs are in each state."""
        return dict(self._connection.rows(SQL["counts"], {"namespace": namespace}))

    # -- claims

    def claim(
        self, run_id: int, engine_id: int, now: int, started_at: int | None = None, attempt: int | None = None
    ) -> Run | None:
        """Take a run that is due, and raise its epoch. Returns None when it cannot be claimed.

        `started_at` is when its workflow function began, if that was earlier and for the first time. With `attempt`, a
        run that was claimed before, or is at another attempt by now, cannot.
        """
        fields = {"run": run_id, "engine": engine_id, "now": now, "started_at": started_at or now, "attempt": attempt}
        rows = self._connection.write(SQL["claim"], fields)
        return self._run(rows[0]) if rows else None

    def claimable(self, now: int, reach: Reach, *, limit: int) -> list[Due]:
        """Return the runs that are due and that an engine may take, by priority and then age."""
        parameters: dict[str, Any] = {"now": now, "limit": limit, **reach.parameters}
        if reach.root_id is None:
            rows = self._connection.rows(SQL["claimable"], parameters)
        else:
            own = {"root": reach.root_id, "engine": reach.engine_id}
            rows = self._connection.rows(SQL["claimable_family"], parameters | own)
        return [Due(*row) for row in rows]

    def follow(self, root_id: int, engine_id: int, now: int) -> None:  # noqa: ARG002 - every write takes now
        """Reserve a family for the engine that a person watches it in, unless another one has reserved it."""
        self._connection.change(SQL["follow"], {"root": root_id, "engine": engine_id})

    def unfollow(self, engine_id: int, now: int) -> None:  # noqa: ARG002
        """Free what an engine has reserved for itself."""
        self._connection.change(SQL["unfollow"], {"engine": engine_id})

    def running(self) -> list[Due]:
        """Return the runs that engines hold, and their queues."""
        return [Due(*row) for row in self._connection.rows(SQL["running"])]

    def due_count(self, now: int) -> int:
        """Return how many runs are due."""
        return int(self._connection.value(SQL["due_count"], {"now": now}))

    def attribute(self, run_id: int, key: str) -> Any:
        """Return an attribute of a run: workflow, schedule, tags.NAME or input.NAME. None when it has none."""
        return self._connection.value(SQL["attribute"], {"run": run_id, "key": key})

    def wakes_after(self) -> bool:
        """Tell whether a run waits for another of its schedule which has ended."""
        return self._connection.row(SQL["wakes_after"]) is not None

    def wake_after(self, now: int) -> int:
        """Queue the runs that waited for another of their schedule which has ended; return how many."""
        return self._connection.change(SQL["wake_after"], {"now": now, "held": HELD_AT})

    def line_up(self, now: int) -> int:
        """Queue runs that are due and were not claimed; return how many, at most some hundreds at a time."""
        return self._connection.change(SQL["line_up"], {"now": now, "limit": _LINE_UP_LIMIT})

    def next_wake(self, now: int, *, root_id: int | None = None) -> int | None:
        """Return the next instant after now at which a run becomes due, or None."""
        if root_id is None:
            found = self._connection.value(SQL["next_wake"], {"now": now})
        else:
            found = self._connection.value(SQL["next_wake_family"], {"now": now, "root": root_id})
        return None if found is None else int(found)

    def release(
        self, claim: Claim, now: int, state: RunState, *, reason: str | None = None, wake_at: int | None = None
    ) -> None:
        """Let go of a run that goes on later. A request stays with it, unless it is paused or blocked now."""
        self._guarded("release", claim, {"now": now, "state": state, "reason": reason, "wake_at": wake_at})

    def finish(
        self,
        claim: Claim,
        now: int,
        state: RunState,
        *,
        output: str | None = None,
        error: str | None = None,
        failed_steps: tuple[str, ...] | list[str] = (),
        reason: str | None = None,
    ) -> None:
        """Record the final state of a run."""
        stored_output, output_crc = (None, None) if output is None else pack(output)
        stored_error, error_crc = (None, None) if error is None else pack(error)
        fields = {"now": now, "state": state, "reason": reason, "failed_steps": json.dumps(list(failed_steps))}
        fields |= {"output": stored_output, "output_crc": output_crc, "error": stored_error, "error_crc": error_crc}
        self._guarded("finish", claim, fields)
        self._spill(stored_output, output)
        self._spill(stored_error, error)

    def judge(self, claim: Claim, now: int, error: str) -> None:  # noqa: ARG002 - every write takes now
        """Record the error that a run fails with once it has undone what it has done, whoever comes to that."""
        self._guarded("judge", claim, {"verdict": error})

    def take_back_code(self, claim: Claim, now: int) -> None:  # noqa: ARG002 - every write takes now
        """Give a run the code again that it had before its retry: the newer one does not fit what is recorded."""
        self._guarded("take_back_code", claim, {})

    def orphans(self, engine_ids: list[int] | tuple[int, ...]) -> list[Run]:
        """Return the runs that these engines hold."""
        return self._runs(SQL["orphans"], {"engines": json.dumps(list(engine_ids))})

    def orphan(self, run_id: int, epoch: int, now: int, state: RunState, reason: str | None) -> bool:
        """Take a run from an engine that is dead: `queued`, or `blocked` or `failed` when it is not to start again.

        Counts a crash, and marks the bodies that ran as interrupted. Returns False when its epoch has moved on.
        """
        claim = Claim(run_id, epoch)
        self._steps.interrupt_bodies(claim, now)
        if state == "failed":
            self._steps.cancel_open(claim, now)
        stored, crc = pack(error_text("CrashLoop", reason or "")) if state == "failed" else (None, None)
        fields = {"run": run_id, "epoch": epoch, "now": now, "state": state, "reason": reason}
        return bool(self._connection.change(SQL["orphan"], fields | {"error": stored, "error_crc": crc}))

    # -- from outside

    def wake(self, run_id: int, now: int) -> bool:
        """Make a waiting or sleeping run due, because what it waits for may have come."""
        return bool(self._connection.change(SQL["wake"], {"run": run_id, "now": now}))

    def cancel_idle(self, run_id: int, now: int, reason: str | None) -> bool:
        """Cancel a run that no engine holds, and its open steps. Returns False for a running or final run."""
        if not self._connection.change(SQL["cancel_idle"], {"run": run_id, "now": now, "reason": reason}):
            return False
        self._steps.cancel_idle(run_id, now)
        return True

    def undo_idle(self, run_id: int, now: int, reason: str) -> bool:
        """Have a run that no engine holds undo what it has done before it is cancelled. False: that cannot be."""
        if not self._steps.undoable(run_id):
            return False
        return bool(self._connection.change(SQL["undo_idle"], {"run": run_id, "now": now, "reason": reason}))

    def fail_idle(self, run_id: int, now: int, error: str) -> bool:
        """Fail a run that cannot begin. Returns False for one that has begun."""
        stored, crc = pack(error)
        fields = {"run": run_id, "now": now, "error": stored, "error_crc": crc, "reason": summary(error)}
        return bool(self._connection.change(SQL["fail_idle"], fields))

    def drop(self, run_id: int, now: int) -> bool:
        """Mark a failure as dealt with. Returns False for a run that has not failed, or was dropped before."""
        return bool(self._connection.change(SQL["drop"], {"run": run_id, "now": now}))

    def dead_errors(self) -> list[tuple[str, str, str]]:
        """Return namespace, workflow and error of every failure that nobody has dealt with."""
        rows = self._connection.rows(SQL["dead"])
        return [(namespace, workflow, self._payloads.unpack(error)) for namespace, workflow, error in rows]

    def pause_idle(self, run_id: int, now: int, reason: str | None) -> bool:
        """Pause a run that no engine holds. Returns False for a running, paused, blocked or final run."""
        return bool(self._connection.change(SQL["pause_idle"], {"run": run_id, "now": now, "reason": reason}))

    def resume(self, run_id: int, now: int) -> bool:
        """Let a paused run go on."""
        return bool(self._connection.change(SQL["resume"], {"run": run_id, "now": now}))

    def request(self, run_id: int, request: Request, now: int) -> bool:  # noqa: ARG002 - every write takes now
        """Ask the engine that holds a run to cancel or pause it. Returns False when none holds it."""
        return bool(self._connection.change(SQL["request"], {"run": run_id, "request": request}))

    def requests(self, engine_id: int) -> list[tuple[int, Request]]:
        """Return what is asked of the runs that an engine holds."""
        return [(row[0], row[1]) for row in self._connection.rows(SQL["requests"], {"engine": engine_id})]

    def retry(
        self,
        run_id: int,
        now: int,
        *,
        replay: Replay,
        code: str | None = None,
        from_step: str | None = None,
        wake_at: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Queue a failed, cancelled or blocked run again, not to start before `wake_at`.

        Its failed and unfinished steps run anew, and from `from_step`, or from the first that was undone, every step;
        finished child runs of those no longer answer them. Raises Conflict for a run in another state, NotFound for an
        unknown step.
        """
        run = self.get(run_id)
        if run.state not in ("failed", "cancelled", "blocked"):
            raise Conflict(
                f"run {run_id} is {run.state}: only a failed, cancelled or blocked run is retried",
                f"See it with: flowctl show {run_id}",
            )
        self.require_whole(run_id)
        undone = self._steps.undone_from(run_id) if run.state != "blocked" else None
        asked = None if from_step is None else self._seq_of(run_id, from_step)
        from_seq = min((seq for seq in (asked, undone) if seq is not None), default=None)
        if from_seq is not None:
            self._connection.write(SQL["detach"], {"run": run_id, "from_seq": from_seq, "now": now})
        self._steps.supersede(run_id, run.failed_steps, from_seq, now)
        fields = {"run": run_id, "now": now, "replay": replay, "code": code, "wake_at": wake_at, "reason": reason}
        self._connection.write(SQL["retry"], fields)

    def block_again(self, run_id: int, reason: str) -> None:
        """Give another reason to a run that stays blocked."""
        self._connection.write(SQL["block_again"], {"run": run_id, "reason": reason})

    def require_whole(self, run_id: int) -> None:
        """Raise Conflict for a run of which some steps are gone."""
        if self._connection.row(SQL["half_pruned"], {"run": run_id}) is not None:
            raise Conflict(f"run {run_id} is being pruned: some of its steps are gone", "Start it anew: flowctl rerun")

    # -- parts

    def _seq_of(self, run_id: int, key: str) -> int:
        step = self._steps.get(run_id, key) or next(
            (old for old in self._steps.replaced(run_id) if old.key == key), None
        )
        if step is None:
            raise NotFound(f"run {run_id} has no step {key}", f"See its steps with: flowctl show {run_id}")
        return step.seq

    def _guarded(self, name: str, claim: Claim, fields: dict[str, Any]) -> None:
        changed = self._connection.change(SQL[name], fields | {"run": claim.run_id, "epoch": claim.epoch})
        if not changed:
            raise ClaimLost(f"run {claim.run_id} is no longer held at epoch {claim.epoch}")

    def _spill(self, stored: str | None, text: str | None) -> None:
        if stored is not None and text is not None:
            self._payloads.spill(stored, text)

    def _runs(self, sql: str, parameters: dict[str, Any]) -> list[Run]:
        return [self._run(row) for row in self._connection.rows(sql, parameters)]

    def _run(self, row: Row) -> Run:
        fields = list(row)
        fields[7] = read_column(row[7], dict, f"options of run {row[0]}")
        fields[14] = read_column(row[14], dict, f"tags of run {row[0]}")
        fields[15] = self._payloads.unpack(row[15])  # input
        fields[17] = self._payloads.unpack_optional(row[17])  # output
        fields[18] = self._payloads.unpack_optional(row[18])  # error
        fields[19] = read_column(row[19], list, f"failed_steps of run {row[0]}")
        return Run(*fields)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _same(new: NewRun, found: Row) -> int:
    run_id, workflow, input_hash = found
    if (workflow, input_hash) == (new.workflow, new.input_hash):
        return int(run_id)
    what = "other input" if workflow == new.workflow else f"another workflow, {workflow}"
    raise Conflict(f"the key {new.key} belongs to run {run_id}, which has {what}", "Use another key for another run.")
