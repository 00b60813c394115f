"""What an engine asks of the file when it looks for runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import NewRun, Queue
from flowctl.engine import offers
from flowctl.engine.claiming import Role
from flowctl.store import Store, queues, runs
from tests.faults.hosted import Hosted, hosted

SOURCE = "from flowctl import workflow\n\n@workflow\ndef quick(text: str) -> str:\n    return text\n"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosted]:
    monkeypatch.setattr(offers, "QUICK_S", 0)  # every run is claimed in a turn of its own
    with hosted() as host:
        yield host
        assert host.store.check(full=True) == []


@pytest.fixture
def submitted(host: Hosted, tmp_path: Path) -> list[int]:
    """Submit three runs."""
    path = tmp_path / "quick.py"
    path.write_text(SOURCE)
    first = host.submit(path, text="x")
    return [first, host.again(first), host.again(first)]


@contextmanager
def asked(store: Store) -> Iterator[list[str]]:
    """Yield a list that fills with the statements that are executed."""
    statements: list[str] = []
    store.connection.raw.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: statements.append(event["sql"]))
    yield statements
    store.connection.raw.trace_v2(0, None)


def sleeping(host: Hosted, like: int, wake_at: int) -> int:
    """Submit a run like another that is due at an instant."""
    run = host.store.runs.get(like)
    new = NewRun(
        run.workflow, run.path, run.function, run.code, run.directory, run.input, run.input_hash, wake_at=wake_at
    )
    with host.store.transaction():
        return host.store.runs.create(new, SYSTEM_CLOCK.now())[0]


def test_claims_ask_for_no_queue_and_line_nothing_up_where_there_is_neither(host: Hosted, submitted: list[int]) -> None:
    sleeping(host, submitted[0], SYSTEM_CLOCK.now() + 3_600_000)
    with asked(host.store) as statements, host.engine(role=Role(capacity=1)) as engine:
        engine.drain()
    assert ["succeeded"] * 3 == [host.store.runs.get(run).state for run in submitted]
    assert 3 <= statements.count(runs.SQL["claim"])
    assert [] == [each for each in statements if each in (queues.SQL["find"], runs.SQL["line_up"])]


def test_d10_an_engine_that_is_full_lines_up_what_is_due(host: Hosted, submitted: list[int]) -> None:
    due = [sleeping(host, submitted[0], SYSTEM_CLOCK.now() - number) for number in (2, 1)]
    with host.engine(role=Role(capacity=1)) as engine:
        engine.look_for_runs()
        engine.tick()
        assert [("queued", None)] * 2 == [(run.state, run.wake_at) for run in map(host.store.runs.get, due)]
        engine.drain()
    assert ["succeeded"] * 5 == [host.store.runs.get(run).state for run in (*submitted, *due)]


def test_f03_a_run_that_begins_is_counted_where_its_queue_has_a_rate(host: Hosted, submitted: list[int]) -> None:
    limited = Queue("default", "default", rate=2, rate_ms=3_600_000)
    with host.store.transaction():
        host.store.queues.set(limited, SYSTEM_CLOCK.now())
    with host.engine() as engine:
        engine.drain()
    assert ["succeeded", "succeeded", "queued"] == [host.store.runs.get(run).state for run in submitted]
    assert 2 == host.store.queues.starts(limited, 3_600_000, SYSTEM_CLOCK.now())
