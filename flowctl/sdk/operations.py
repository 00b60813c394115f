"""What a workflow does besides calling steps and commands: gather, sleep, now, random, uuid4, secret, current_run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Optional

from flowctl.sdk.context import current, step_info
from flowctl.sdk.definition import BoundCall

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from flowctl.sdk.codec import Codec
    from flowctl.sdk.durations import Duration
    from flowctl.sdk.runtime import Runtime

DEFAULT_CONCURRENCY = 8


class RunInfo(NamedTuple):
    """What code may know about the run it is part of.

    `slot` is the instant of its schedule that it was made for, also when it runs late, is forked or rerun; None for a
    run that no schedule made. `step` and `step_attempt` are None outside of step bodies.
    """

    run: int
    attempt: int
    workflow: str
    namespace: str
    tags: dict[str, str]
    started_at: datetime
    slot: Optional[datetime]
    step: Optional[str]
    step_attempt: Optional[int]
    idempotency_key: str


class HintedCall(BoundCall[Any]):
    """A call whose outcome is decoded by a type hint."""

    __slots__ = ("_hint",)

    def __init__(self, hint: Any) -> None:
        self._hint = hint

    @property
    def output(self) -> Codec:
        from flowctl.sdk.hints import codec_for

        return codec_for(self._hint)


class _Value(HintedCall):
    """A value that differs at each call, recorded so that a replay gives the same."""

    __slots__ = ("_draw", "_name")

    def __init__(self, name: str, draw: Callable[[], Any], hint: Any) -> None:
        super().__init__(hint)
        self._name = name
        self._draw = draw

    @property
    def kind(self) -> str:
        return "value"

    @property
    def name(self) -> str:
        return self._name

    def encode_input(self) -> tuple[str, str]:
        from flowctl.sdk.jsontext import hash_of_plain

        return "null", hash_of_plain(None).hex()

    def run(self) -> Any:
        return self._draw()

    def run_plain(self) -> Any:
        return self._draw()


class _Sleep(BoundCall[None]):
    """A durable wait: `duration_ms`, or `until` as UTC milliseconds."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, int]) -> None:
        self._fields = fields

    @property
    def kind(self) -> str:
        return "sleep"

    @property
    def name(self) -> str:
        return "sleep"

    @property
    def wire_fields(self) -> Mapping[str, Any]:
        return self._fields

    def encode_input(self) -> tuple[str, str]:
        from flowctl.sdk.jsontext import hash_of_plain, text_of

        plain = {name: _iso(value) if name == "until" else value for name, value in self._fields.items()}
        return text_of(plain), hash_of_plain(plain).hex()

    def run(self) -> None:
        """Do nothing: the engine waits."""

    def run_plain(self) -> None:
        """Do nothing: outside a run there is nothing to wait for."""


def _active() -> Optional[Runtime]:
    """Return the run that this process executes. Outside of executors the runtime is not even imported."""
    runtime = sys.modules.get("flowctl.sdk.runtime")
    return None if runtime is None else runtime.active()


def _recorded(value: _Value) -> Any:
    here = current()
    return value.run_plain() if here is None else here.call(value)


def now() -> datetime:
    """Return the present instant in UTC; a replay gives the same."""
    from datetime import datetime, timezone

    return _recorded(_Value("now", lambda: datetime.now(timezone.utc), datetime))  # type: ignore[no-any-return]


def random() -> float:
    """Return a random number from 0 up to 1; a replay gives the same."""
    from random import SystemRandom

    return _recorded(_Value("random", SystemRandom().random, float))  # type: ignore[no-any-return]


def uuid4() -> UUID:
    """Return a random UUID; a replay gives the same."""
    import uuid

    return _recorded(_Value("uuid4", uuid.uuid4, uuid.UUID))  # type: ignore[no-any-return]


def sleep(duration: Optional[Duration] = None, *, until: Optional[datetime] = None) -> None:
    """Pause the run for a duration, or until an instant with a time zone; no process waits meanwhile.

    Outside a run it returns at once. In a step body it is refused: there, time.sleep is the one to use.
    """
    if (duration is None) == (until is None):
        raise TypeError("sleep() takes either a duration or until=")
    values = _until(until) if until is not None else _duration(duration)
    here = current()
    if here is not None:
        here.call(_Sleep(values))
    elif step_info() is not None:
        raise RuntimeError("sleep() pauses a whole run: in a step use time.sleep() instead")
    elif _active() is not None:
        raise RuntimeError("sleep() works only on the workflow's own thread")


def _duration(duration: Any) -> dict[str, int]:
    from flowctl.sdk.durations import to_ms

    return {"duration_ms": to_ms(duration)}


def _until(until: Any) -> dict[str, int]:
    from datetime import datetime

    if not isinstance(until, datetime):
        raise TypeError(f"sleep(until=…) takes a datetime, not {type(until).__name__}")
    if until.utcoffset() is None:
        raise ValueError("sleep(until=…) needs a time zone: datetime(…, tzinfo=timezone.utc), or flowctl.now() + …")
    return {"until": -int(-until.timestamp() * 1000 // 1)}  # rounded up: it never ends early


def _iso(instant: int) -> str:
    return _instant(instant).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def gather(*calls: BoundCall[Any], concurrency: int = DEFAULT_CONCURRENCY) -> list[Any]:
    """Run bound calls in parallel, at most `concurrency` at once, and return their results in order.

    Branches are steps, shell commands and child workflows: `fetch.bind(url)`, `sh.bind(…)`. All of them end; then the
    first failure is raised, as StepFailed with the keys of all failed branches in `failed_keys`.
    """
    if type(concurrency) is not int or concurrency < 1:
        raise ValueError(f"gather: concurrency is {concurrency!r}, not a whole number from 1")
    for place, call in enumerate(calls):
        if not isinstance(call, BoundCall):
            raise TypeError(f"gather: branch {place} is a {type(call).__name__}: give fetch.bind(…), not fetch(…)")
    here = current()
    if here is None:
        return _gather_plain(calls, concurrency)
    from flowctl.sdk.gather import gather_recorded

    return gather_recorded(here, calls, concurrency)  # type: ignore[arg-type]  # the only Runtime there is


def _gather_plain(calls: tuple[BoundCall[Any], ...], concurrency: int) -> list[Any]:
    if concurrency == 1 or len(calls) < 2:
        return [call.run_plain() for call in calls]
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(min(concurrency, len(calls))) as pool:
        branches = [pool.submit(copy_context().run, call.run_plain) for call in calls]
    return [branch.result() for branch in branches]


def secret(name: str) -> str:
    """Return the value of a secret: text that is recorded as a reference and hidden wherever it is captured.

    It is taken from the executor's environment (`--env-file`), then from where config.toml says, or else from the
    environment of flowctl itself or a private file of its name.
    Raises LookupError when there is none of that name.
    """
    from flowctl.sdk.codec import Secret

    return Secret(secret_value(name), name)


def secret_value(name: str) -> str:
    """Return the value of a secret, and hide it from now on wherever text leaves this process."""
    value = os.environ.get(name)
    if value is None and _ask_secret is not None:
        value = _ask_secret(name)
    if value is None:
        raise LookupError(f"there is no secret {name}: set it in the environment, or in a file given with --env-file")
    if _ask_secret is not None:
        _hide(name, value)
    return value


_ask_secret: Optional[Callable[[str], Optional[str]]] = None


def ask_secrets_with(callback: Callable[[str], Optional[str]]) -> None:
    """Have this process ask for what its environment lacks, and hide the values: it is an executor."""
    global _ask_secret
    _ask_secret = callback


def _hide(name: str, value: str) -> None:
    from flowctl.sdk import masking

    if not masking.register(value) and value:
        import logging

        least = masking.SHORTEST
        logging.getLogger("flowctl").warning("secret %s has fewer than %d characters and is not hidden", name, least)


def _instant(milliseconds: int) -> datetime:
    from datetime import datetime, timedelta, timezone

    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=milliseconds)


def current_run() -> RunInfo:
    """Return number, attempt and more of the run that this code is part of. Raises RuntimeError outside of runs."""
    active = _active()
    if active is None:
        raise RuntimeError("current_run() works only inside a run")
    facts, step = active.facts, step_info()
    return RunInfo(
        run=facts.run,
        attempt=facts.attempt,
        workflow=facts.workflow,
        namespace=facts.namespace,
        tags=dict(facts.tags),
        started_at=_instant(facts.started_at),
        slot=None if facts.due_at is None else _instant(facts.due_at),
        step=step.key if step else None,
        step_attempt=step.attempt if step else None,
        idempotency_key=step.idempotency_key if step else f"{facts.file_id}-{facts.run}",
    )
