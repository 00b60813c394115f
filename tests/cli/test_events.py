"""`flowctl events`: who did what, when; and that nothing is missing from it."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flowctl.core.listing import EventFilter
from flowctl.store import Store
from tests.cli.conftest import PATIENCE_S, until
from tests.conftest import Outcome
from tests.store.scene import Scene

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def told(quick: Callable[..., Outcome]) -> Callable[..., list[tuple[str, str, str | None, str | None]]]:
    """Return subject, state or '', reason and actor of each line."""

    def ask(*words: str) -> list[tuple[str, str, str | None, str | None]]:
        lines = quick("events", *words, "--db", "flow.db", "--json").json
        return [(line["subject"], line["state"] or "", line["reason"], line["actor"]) for line in lines]

    return ask


def test_each_change_of_a_run_says_who_did_it(quick, told, hello: Path) -> None:
    quick("run", hello, "name=Ann", "--detach", "--db", "flow.db")
    quick("pause", "1", "--db", "flow.db")
    quick("resume", "1", "--detach", "--db", "flow.db")
    quick("cancel", "1", "--db", "flow.db")
    quick("retry", "1", "--db", "flow.db")
    here = f"{ME}: flowctl retry (pid {os.getpid()})"
    assert [
        ("run 1", "queued", None, f"{ME}: flowctl run"),
        ("run 1", "paused", "by a person", f"{ME}: flowctl pause"),
        ("run 1", "queued", None, f"{ME}: flowctl resume"),
        ("run 1", "cancelled", "by a person", f"{ME}: flowctl cancel"),
        ("run 1", "queued", None, here),
        ("run 1", "running", None, here),
        ("run 1", "succeeded", None, here),
    ] == [(subject, state, reason and "by a person", who) for subject, state, reason, who in told("1")]


def test_who_asked_an_engine_to_cancel_is_written_down_beside_what_the_engine_did(
    background: Callable[..., subprocess.Popen[bytes]], quick, told, gated: Path, tmp_path: Path
) -> None:
    process = background("run", gated, "--db", "flow.db")
    until(lambda: "gate" in ((tmp_path / "ledger").read_text() if (tmp_path / "ledger").exists() else ""))
    quick("cancel", "1", "--db", "flow.db")
    process.wait(PATIENCE_S)
    lines = told("@last")
    assert ("run 1", "", "asked to cancel", f"{ME}: flowctl cancel") in lines
    assert ("run 1", "cancelled", f"{ME}: flowctl run (pid {process.pid})") == (
        lines[-1][0],
        lines[-1][1],
        lines[-1][3],
    )


def test_every_command_that_changes_something_is_in_it(quick, told, hello: Path) -> None:
    db = ("--db", "flow.db")
    quick("workflows", "add", hello, *db)
    quick("schedules", "add", "nightly", "--workflow", "hello", "--cron", "0 3 * * *", *db, "name=secret-input")
    quick("schedules", "update", "nightly", "--cron", "0 4 * * *", *db)
    quick("schedules", "pause", "nightly", *db)
    quick("schedules", "resume", "nightly", *db)
    quick("schedules", "trigger", "nightly", *db)
    quick("queues", "set", "mail", "--concurrency", "2", *db)
    quick("db", "retention", "hello", "--keep", "30d", *db)
    quick("db", "prune", "--yes", *db)
    quick("schedules", "remove", "nightly", "--yes", *db)
    quick("workflows", "remove", "hello", "--yes", *db)
    lines = told()
    assert [
        ("workflow hello", "registered", "workflows add"),
        ("schedule nightly", "added: cron 0 3 * * *", "schedules add"),
        ("schedule nightly", "changed: expression", "schedules update"),
        ("schedule nightly", "paused: by a person", "schedules pause"),
        ("schedule nightly", "resumed", "schedules resume"),
        ("run 1", None, "schedules trigger"),
        ("schedule nightly", "triggered: run 1", "schedules trigger"),
        ("queue mail", "changed: concurrency", "queues set"),
        ("workflow hello", "retention changed: keep_ms", "db retention"),
        ("database", "pruned", "db prune"),
        ("schedule nightly", "removed", "schedules remove"),
        ("workflow hello", "removed", "workflows remove"),
    ] == [(subject, reason, str(who).removeprefix(f"{ME}: flowctl ")) for subject, _, reason, who in lines]
    assert "secret-input" not in json.dumps(lines)
    assert 5 == len(told("--subject", "schedule nightly")) - 1


def test_starts_and_stops_of_the_daemon_and_restorations_are_in_it(quick, flowctl, told, tmp_path: Path) -> None:
    db = ("--db", "flow.db")
    quick("exec", "-d", "--queue", "later", *db, "--", "true")
    pid = flowctl("daemon", "start", "--queue", "mail", "--json", *db).json["pid"]
    flowctl("daemon", "stop", *db)
    quick("db", "backup", "copy.db", *db)
    quick("db", "restore", "copy.db", "--yes", *db)
    assert [
        ("daemon", f"started (pid {pid})", f"{ME}: flowctl daemon run"),
        ("daemon", f"told to stop (pid {pid})", f"{ME}: flowctl daemon stop"),
        ("daemon", f"stopped (pid {pid})", f"daemon (pid {pid})"),
        ("database", f"restored from {tmp_path / 'copy.db'}", f"{ME}: flowctl db restore"),
    ] == [(subject, reason, who) for subject, _, reason, who in told()[1:]]


def test_it_can_be_restricted_and_is_cut_at_its_old_end(quick, told, hello: Path) -> None:
    quick("run", hello, "name=Ann", "--db", "flow.db")
    quick("run", hello, "name=Ben", "--db", "flow.db", "--namespace", "other")
    assert ["queued", "running", "succeeded"] == [line[1] for line in told()]
    assert {"run 2"} == {line[0] for line in told("--namespace", "other")}
    assert ["succeeded"] == [line[1] for line in told("--limit", "1")]
    assert [] == told("--since", "2100-01-01")
    assert "exclude each other" in quick("events", "1", "--subject", "x", "--db", "flow.db", code=2).stderr
    said = quick("events", "1", "--db", "flow.db").stdout.splitlines()
    assert ["WHEN", "SUBJECT", "WHAT", "WHO"] == said[0].split()
    assert 4 == len(said)


def test_following_it_shows_what_comes(background: Callable[..., subprocess.Popen[bytes]], quick, hello: Path) -> None:
    quick("run", hello, "name=Ann", "--db", "flow.db")
    process = background("events", "-f", "--json", "--db", "flow.db")
    assert process.stdout is not None
    seen = [json.loads(process.stdout.readline())["state"] for _ in range(3)]
    quick("run", hello, "name=Ben", "--detach", "--db", "flow.db")
    line = json.loads(process.stdout.readline())
    assert (["queued", "running", "succeeded"], 2, "queued") == (seen, line["run"], line["state"])
    process.send_signal(signal.SIGINT)
    assert 130 == process.wait(PATIENCE_S)


def test_a_text_of_a_run_is_made_safe(quick, tmp_path: Path) -> None:
    with Store.open(tmp_path / "flow.db") as store:
        scene = Scene(store)
        scene.release(scene.held(), "blocked", reason="\x1b[2Jgone")
        scene.write(lambda: store.events.note("schedule \x1b[2J", "\x1b[2J", scene.now))
        store.connection.actor = "\x1b[2J"
        scene.submit()
        assert ["\x1b[2J"] == [event.actor for event in store.events.find(EventFilter("default", run=2))]
    assert "\x1b" not in quick("events", "--db", "flow.db").stdout + quick("events", "--db", "flow.db", "--json").stdout
