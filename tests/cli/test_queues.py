"""`flowctl queues`: limits are changed piece by piece, and shown with what they hold."""

from __future__ import annotations

import signal

import pytest

from tests.cli.conftest import PATIENCE_S, until

NONE = {"concurrency": None, "rate": None, "period_ms": None, "key": None, "key_limit": None, "paused": False}


def test_only_what_is_given_changes(flowctl) -> None:
    first = flowctl("queues", "set", "mail", "--concurrency", "2", "--rate", "10/1m", "--json").json
    expected = NONE | {"queue": "mail", "concurrency": 2, "rate": 10, "period_ms": 60_000}
    assert expected | {"running": 0, "queued": 0, "oldest_at": None} == first
    flowctl("queues", "set", "mail", "--key-limit", "input.host=1", "--pause")
    flowctl("queues", "set", "mail", "--rate", "none")
    (found,) = flowctl("queues", "list", "--json").json
    assert {"concurrency": 2, "rate": None, "key": "input.host", "key_limit": 1, "paused": True} == {
        name: found[name] for name in ("concurrency", "rate", "key", "key_limit", "paused")
    }
    flowctl("queues", "set", "mail", "--resume", "--concurrency", "none", "--key-limit", "none")
    assert [] == flowctl("queues", "list", "--json").json


def test_no_queue_has_the_name_that_takes_a_queue_away(flowctl) -> None:
    said = flowctl("queues", "set", "none", "--concurrency", "2", code=2).stderr
    assert "no queue is called none" in said


def test_a_queue_is_not_paused_and_resumed_at_once(flowctl) -> None:
    assert (
        "--pause and --resume exclude each other" in flowctl("queues", "set", "a", "--pause", "--resume", code=2).stderr
    )
    assert [] == flowctl("queues", "list", "--json").json


def test_a_queue_is_listed_for_its_runs_too(flowctl) -> None:
    flowctl("exec", "--detach", "--queue", "slow", "--", "true")
    flowctl("exec", "--detach", "--queue", "slow", "--in", "1h", "--", "true")
    flowctl("exec", "--", "true")
    (found,) = flowctl("queues", "list", "--json").json
    assert NONE | {"queue": "slow", "running": 0, "queued": 1} == {
        name: value for name, value in found.items() if name != "oldest_at"
    }
    assert found["oldest_at"].endswith("Z")
    assert ["QUEUE", "RUNNING", "QUEUED", "OLDEST", "LIMITS"] == flowctl("queues", "list").stdout.split("\n")[0].split()


def test_limits_are_shown_in_words(flowctl) -> None:
    said = flowctl("queues", "set", "api", "--rate", "100/1h", "--concurrency", "5", "--pause").stdout
    assert said.splitlines()[1].endswith("paused, 5 at once, 100 in 1h00m")


def test_namespaces_have_queues_of_their_own(flowctl) -> None:
    flowctl("queues", "set", "mail", "--concurrency", "2", "--namespace", "other")
    assert [] == flowctl("queues", "list", "--json").json
    assert ["mail"] == [each["queue"] for each in flowctl("queues", "list", "--namespace", "other", "--json").json]


def test_no_queue_yet_is_said_with_the_command_that_makes_one(flowctl) -> None:
    outcome = flowctl("queues", "list")
    assert ("", True) == (outcome.stdout, "flowctl queues set" in outcome.stderr)
    assert [] == flowctl("queues", "list", "--json").json


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--concurrency", "0"),
        ("--concurrency", "-1"),
        ("--concurrency", "many"),
        ("--concurrency", "9" * 30),
        ("--rate", "10"),
        ("--rate", "0/60s"),
        ("--rate", "10/soon"),
        ("--rate", "10/0s"),
        ("--key-limit", "host=1"),
        ("--key-limit", "input.host"),
        ("--key-limit", "input.host=0"),
        ("--key-limit", 'tags."=1'),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(flowctl, words: tuple[str, ...]) -> None:
    outcome = flowctl("queues", "set", "mail", *words, code=2)
    assert outcome.stderr.startswith("flowctl: ")
    assert [] == flowctl("queues", "list", "--json").json


# -- in the foreground


def test_a_run_that_waits_for_its_queue_says_so_once_and_ctrl_c_pauses_it(background, flowctl, tmp_path) -> None:
    flowctl("queues", "set", "mail", "--concurrency", "1")
    first = background("exec", "--queue", "mail", "--", "sh", "-c", "until test -e go; do sleep 0.02; done")
    until(lambda: flowctl("queues", "list", "--json").json[0]["running"] == 1)
    second = background("exec", "--queue", "mail", "--", "true")
    said = second.stderr.readline()
    assert b"run 2 waits: queue mail is full (run 1); ctrl-C pauses it\n" == said
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=PATIENCE_S)
    assert 130 == second.returncode
    assert b"flowctl resume 2" in err
    assert b"waits" not in err
    (tmp_path / "go").touch()
    assert 0 == first.wait(PATIENCE_S)
    assert 0 == flowctl("resume", "2").json["exit_code"]


def test_a_run_in_a_paused_queue_begins_when_that_is_resumed(background, flowctl) -> None:
    flowctl("queues", "set", "mail", "--pause")
    process = background("exec", "--queue", "mail", "--", "true")
    assert b"run 1 waits: queue mail is paused; ctrl-C pauses it\n" == process.stderr.readline()
    flowctl("queues", "set", "mail", "--resume")
    process.communicate(timeout=PATIENCE_S)
    assert 0 == process.returncode


def test_the_word_stays_above_the_live_picture(on_terminal, flowctl) -> None:
    flowctl("queues", "set", "mail", "--pause")
    with on_terminal("exec", "--queue", "mail", "--", "true") as screen:
        screen.read_until("run 1 waits: queue mail is paused; ctrl-C pauses it")
        flowctl("queues", "set", "mail", "--resume")
        assert "succeeded" in screen.read_to_end()
