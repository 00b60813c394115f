"""Conditions: what they may say, how the machine is asked, and how runs are held, released and given up."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowctl.core.model import HELD_AT
from flowctl.engine import commands, schedules
from flowctl.engine.conditions import LOOK_MS, POLL_MS, Gate
from flowctl.engine.probing import Machine, Question, lack
from flowctl.engine.why import why_run
from flowctl.sdk.conditions import Condition, conditions, parse_condition
from tests.engine.living import live_engine
from tests.engine.rhythm import HOUR, MINUTE, SECOND, START, Rhythm


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ac_power", Condition("ac_power")),
        ("battery>20", Condition("battery", number=20)),
        (" battery > 5 ", Condition("battery", number=5)),
        ("online", Condition("online")),
        ("online:example.org:443", Condition("online", "example.org", 443)),
        ("online:[::1]:80", Condition("online", "::1", 80)),
        ("file_exists:/mnt/disk: old", Condition("file_exists", "/mnt/disk: old")),
        ("changed:in/**/*.csv", Condition("changed", "in/**/*.csv")),
        ("idle:10m", Condition("idle", number=600_000)),
        ("cmd:test -e x && true", Condition("cmd", "test -e x && true")),
        ("cmd:(exit 0)", Condition("cmd", "(exit 0)")),
        ("file_exists:a (old)", Condition("file_exists", "a (old)")),
    ],
)
def test_what_a_condition_means(text: str, meant: Condition) -> None:
    assert meant == parse_condition(text)


@pytest.mark.parametrize(
    "text",
    ["", "power", "battery", "battery<20", "battery>100", "battery>x", "online:", "online:host", "online:host:0",
     "online:host:99999", "file_exists", "file_exists:", "idle:", "idle:soon", "cmd:", "cmd:a\nb", 7,
     "power(x)", "ac_power()", "battery(20)", "online(host)", "idle(soon)", "cmd(a\nb)"],
)  # fmt: skip
def test_what_is_no_condition(text: object) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('online("example.org:443")', "online:example.org:443"),
        ("online([::1]:80)", "online:[::1]:80"),
        ("file_exists('/mnt/disk: old')", "file_exists:/mnt/disk: old"),
        ("file_exists(a (old))", "file_exists:a (old)"),
        (' changed ( "in/**/*.csv" ) ', "changed:in/**/*.csv"),
        ("idle(2h)", "idle:2h"),
        ("idle", "idle:10m"),
        ('cmd("test -e it\'s")', "cmd:test -e it's"),
        ('cmd(test -e "it\'s")', 'cmd:test -e "it\'s"'),
    ],
)
def test_a_text_may_stand_in_parentheses_and_is_recorded_after_a_colon(text: str, same: str) -> None:
    assert parse_condition(same) == parse_condition(text)
    assert (same,) == conditions(text) == conditions([text, same])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_exists(x", "it does not end with )"),
        ("file_exists(x) y", "it does not end with )"),
        ("file_exists(", "it does not end with )"),
        ("file_exists('x)", "its ' is not closed"),
        ('online("host:443)', 'its " is not closed'),
        ("cmd(')", "its ' is not closed"),
        ('cmd("a" = "b")', 'there is " between " and "'),
        ("changed()", "there is nothing between ( and )"),
        ("idle( )", "there is nothing between ( and )"),
        ("cmd(' ')", "there is nothing between ( and )"),
        ("cmd(a) && (b)", "put what is between ( and ) into quotes"),
        ("cmd(echo :()", "put what is between ( and ) into quotes"),
    ],
)
def test_what_is_wrong_with_parentheses_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        parse_condition(text)
    assert str(refused.value).startswith(f"{text!r} is not a condition: ")


def test_conditions_are_one_or_several_each_once() -> None:
    assert ("online",) == conditions("online")
    assert ("online", "ac_power") == conditions(["online", "ac_power", "online"])


# -- asking the machine ---------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(str(tmp_path / "power"), str(tmp_path / "route"), str(tmp_path / "route6"), str(tmp_path / "tty*"))


def supply(machine: Machine, name: str, **facts: str) -> None:
    folder = Path(machine.power) / name
    folder.mkdir(parents=True, exist_ok=True)
    for fact, text in facts.items():
        (folder / fact).write_text(f"{text}\n")


def ask(machine: Machine, condition: str, since: int | None = None, now: int = START) -> str | None:
    return lack(Question(condition, str(Path(machine.power).parent), since), machine, now)


def test_a_machine_without_battery_has_power(machine: Machine) -> None:
    assert ask(machine, "ac_power") is None
    assert ask(machine, "battery>90") is None
    supply(machine, "mouse", type="Battery", scope="Device", capacity="3", status="Discharging")
    assert ask(machine, "ac_power") is None
    assert ask(machine, "battery>90") is None


def test_a_laptop_has_power_when_it_is_plugged_in(machine: Machine) -> None:
    supply(machine, "BAT0", type="Battery", capacity="41", status="Discharging")
    supply(machine, "AC", type="Mains", online="0")
    assert "on battery power" == ask(machine, "ac_power")
    assert "the battery is at 41%, not over 50%" == ask(machine, "battery>50")
    assert ask(machine, "battery>40") is None
    supply(machine, "AC", online="1")
    assert ask(machine, "ac_power") is None


def test_online_means_a_default_route(machine: Machine) -> None:
    head = "Iface\tDestination\tGateway\n"
    Path(machine.routes).write_text(f"{head}eth0\t0000FEA9\t00000000\n")
    assert "no network: there is no default route" == ask(machine, "online")
    Path(machine.routes).write_text(f"{head}eth0\t00000000\t0100A8C0\n")
    assert ask(machine, "online") is None


def test_online_with_a_host_means_that_it_answers(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ask(machine, f"online:127.0.0.1:{port}") is None
    with socket.socket() as deaf:  # its port is nobody else's
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be reached" in (ask(machine, f"online:127.0.0.1:{port}") or "")


def test_files_are_those_of_the_folder_of_the_run(machine: Machine, tmp_path: Path) -> None:
    assert f"there is no {tmp_path}/go" == ask(machine, "file_exists:go")
    (tmp_path / "go").touch()
    assert ask(machine, "file_exists:go") is None
    os.utime(tmp_path / "go", (START / 1000, START / 1000))
    assert ask(machine, "changed:g*", START) is None
    assert "since the run before" in (ask(machine, "changed:g*", START + 1) or "")
    assert ask(machine, "changed:g*") is None
    assert "nothing has changed" in (ask(machine, "changed:none*") or "")


def test_idle_means_that_no_terminal_is_in_use(machine: Machine, tmp_path: Path) -> None:
    assert ask(machine, "idle:10m") is None
    (tmp_path / "tty1").touch()
    os.utime(tmp_path / "tty1", ((START - 60_000) / 1000, 0))
    assert "a terminal was in use 1m00s ago, not 10m00s" == ask(machine, "idle:10m")
    assert ask(machine, "idle:1m") is None


def test_a_command_answers_with_its_exit_code(machine: Machine) -> None:
    assert ask(machine, "cmd:exit 0") is None
    assert "exit 3 ended with exit code 3" == ask(machine, "cmd:exit 3")


# -- holding runs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(rhythm: Rhythm) -> Iterator[Gate]:
    made = Gate(rhythm.store)
    yield made
    made.close()


def look(gate: Gate, rhythm: Rhythm) -> None:
    """Let the gate look once, to the end."""
    rhythm.clock.pass_time(LOOK_MS)
    deadline = time.monotonic() + 60
    while gate.tick(rhythm.clock.wall) == rhythm.clock.wall + POLL_MS:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def held(rhythm: Rhythm, *when: str, **fields: object) -> None:
    """Let a schedule with conditions make its first run."""
    rhythm.register()
    fields = {"directory": str(rhythm.path), "workflow": "digest", "input": "{}"} | fields
    rhythm.add(options={"when": list(when)}, **fields)
    rhythm.run_for(HOUR)


def test_a_run_is_held_until_all_its_conditions_hold(rhythm: Rhythm, gate: Gate) -> None:
    held(rhythm, "file_exists:one", "file_exists:two")
    look(gate, rhythm)
    [run] = rhythm.runs()
    assert ("queued", HELD_AT) == (run.state, run.wake_at)
    assert f"there is no {rhythm.path}/one; there is no {rhythm.path}/two" == run.reason
    assert [("fired", None)] == rhythm.told()
    (rhythm.path / "one").touch()
    look(gate, rhythm)
    assert f"there is no {rhythm.path}/two" == rhythm.runs()[0].reason
    (rhythm.path / "two").touch()
    look(gate, rhythm)
    assert ("queued", None, None) == (rhythm.runs()[0].state, rhythm.runs()[0].wake_at, rhythm.runs()[0].reason)
    assert gate.tick(rhythm.clock.wall) is None


def test_why_tells_what_a_held_run_lacks(rhythm: Rhythm, gate: Gate) -> None:
    held(rhythm, "cmd:exit 4", window_ms=2 * HOUR)
    look(gate, rhythm)
    [run] = rhythm.runs()
    told = why_run(rhythm.store, run, rhythm.clock.wall)
    assert "is due and held, at most until 2h00m after it was due, and no daemon runs" in told.sentence
    rhythm.now = rhythm.clock.wall
    with live_engine(rhythm):
        told = why_run(rhythm.store, run, rhythm.clock.wall)
        assert "is due and held, at most until 2h00m after it was due: exit 4 ended with exit code 4" in told.sentence


def test_a_held_run_whose_window_is_over_is_given_up_and_says_why(rhythm: Rhythm, gate: Gate) -> None:
    held(rhythm, "file_exists:go", window_ms=10 * MINUTE)
    look(gate, rhythm)
    rhythm.clock.pass_time(10 * MINUTE)
    (rhythm.path / "go").touch()
    look(gate, rhythm)
    [run] = rhythm.runs()
    assert "cancelled" == run.state
    assert f"stale: held until its window of 10m was over: there is no {rhythm.path}/go" == run.reason
    assert [("fired", run.id)] == [(slot.outcome, slot.run_id) for slot in rhythm.slots()]


def test_while_a_run_is_held_the_next_slot_overlaps_and_is_skipped(rhythm: Rhythm, gate: Gate) -> None:
    held(rhythm, "file_exists:go")
    rhythm.run_for(HOUR)
    assert ["queued"] == rhythm.states()
    assert ("skipped", "overlap, run 1 is still queued") == rhythm.told()[1]


def test_a_run_that_waited_for_another_is_held_then(rhythm: Rhythm, gate: Gate) -> None:
    held(rhythm, "file_exists:go", overlap="queue")
    commands.resume(rhythm.store, 1, rhythm.clock.wall)
    rhythm.begin(1)
    rhythm.run_for(HOUR)
    assert "waiting" == rhythm.states()[1]
    rhythm.end(1)
    rhythm.look()
    assert ("queued", HELD_AT) == (rhythm.runs()[1].state, rhythm.runs()[1].wake_at)


def test_conditions_of_the_workflow_and_of_the_schedule_must_all_hold(rhythm: Rhythm, gate: Gate) -> None:
    rhythm.register(options={"when": ["file_exists:mine"]})
    fields = {"directory": str(rhythm.path), "workflow": "digest", "input": "{}"}
    rhythm.add(options={"when": ["file_exists:yours"]}, **fields)
    rhythm.run_for(HOUR)
    look(gate, rhythm)
    assert ["file_exists:mine", "file_exists:yours"] == rhythm.runs()[0].options["when"]
    assert f"there is no {rhythm.path}/mine; there is no {rhythm.path}/yours" == rhythm.runs()[0].reason


def test_what_a_person_asks_for_begins_without_conditions(rhythm: Rhythm, gate: Gate) -> None:
    held(rhythm, "file_exists:go", overlap="allow")
    number = schedules.trigger(rhythm.store, "default", "nightly", rhythm.clock.wall)
    assert rhythm.store.runs.get(number).wake_at is None
    commands.resume(rhythm.store, 1, rhythm.clock.wall)
    assert rhythm.store.runs.get(1).wake_at is None


def test_changed_means_since_the_run_before(rhythm: Rhythm, gate: Gate) -> None:
    held(rhythm, "changed:*.csv")
    look(gate, rhythm)
    assert "nothing has changed" in (rhythm.runs()[0].reason or "")
    table = rhythm.path / "a.csv"
    table.touch()
    look(gate, rhythm)
    assert rhythm.runs()[0].wake_at is None
    rhythm.end(1)
    os.utime(table, (START / 1000, START / 1000))
    rhythm.run_for(HOUR)
    look(gate, rhythm)
    assert "since the run before" in (rhythm.runs()[1].reason or "")
    os.utime(table, (rhythm.clock.wall / 1000, rhythm.clock.wall / 1000))
    look(gate, rhythm)
    assert rhythm.runs()[1].wake_at is None


def test_a_look_that_hangs_stops_nothing_and_is_given_up(rhythm: Rhythm, gate: Gate) -> None:
    held(rhythm, "cmd:sleep 300")
    began = time.monotonic()
    gate.tick(rhythm.clock.wall)
    assert time.monotonic() - began < 60
    rhythm.clock.pass_time(MINUTE + SECOND)
    gate.tick(rhythm.clock.wall)
    assert "the look at cmd:sleep 300 took longer than 60 s" == rhythm.runs()[0].reason
