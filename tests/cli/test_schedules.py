"""`flowctl schedules`, `next`, `slots`, and the schedules that code asks for."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from flowctl.core.clock import SystemClock
from flowctl.engine.scheduler import Scheduler
from flowctl.store import Store

HOUR = 3_600_000
DIGEST = """
from flowctl import workflow

@workflow{options}
def digest(top: int = 5, name: str = "x") -> int:
    \"\"\"Read the feeds.\"\"\"
    return top
"""


@pytest.fixture
def digest(tmp_path: Path) -> Path:
    return write(tmp_path)


def write(folder: Path, options: str = "") -> Path:
    path = folder / "digest.py"
    path.write_text(DIGEST.replace("{options}", options))
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / ".xdg" / "state" / "flowctl" / "flowctl.db"


def tick(database: Path) -> None:
    """Let a scheduler look an hour after the last schedule was made: what is due each hour was due once since."""
    with Store.open(database) as store:
        made_at = max(schedule.created_at for schedule in store.schedules.all("default"))
        Scheduler(store, SystemClock(), "boot").tick(made_at + HOUR)


def test_a_command_is_scheduled_fires_runs_and_is_told_of(quick, database, tmp_path) -> None:
    made = quick("schedules", "add", "tidy", "--every", "1h", "--json", "--", "sh", "-c", "pwd; echo $0", "--x").json
    assert ("tidy", "every", "1h", None) == (made["schedule"], made["kind"], made["expression"], made["workflow"])
    assert {"argv": ["sh", "-c", "pwd; echo $0", "--x"]} == made["input"]
    assert [] == quick("slots", "tidy", "--json").json
    tick(database)
    [slot] = quick("slots", "tidy", "--json").json
    assert ["due_at", "outcome", "reason", "run"] == list(slot)
    assert ("fired", 1) == (slot["outcome"], slot["run"])
    [run] = quick("ls", "--schedule", "tidy", "--json").json
    assert ("tidy", slot["due_at"], "tidy") == (run["schedule"], run["due_at"], run["workflow"])
    assert [] == quick("ls", "--schedule", "other", "--json").json
    quick("resume", "1")
    [step] = quick("show", "1", "--json").json["steps"]
    assert f"{tmp_path}\n--x\n" == step["output"]["stdout"]


def test_a_schedule_of_files_says_everywhere_what_it_waits_for(quick, tmp_path) -> None:
    (tmp_path / "notes.txt").touch()
    add = ("schedules", "add", "inbox", "--on-change", "in/*.csv", "--on-change", "./notes.txt", "--debounce", "5s")
    made = quick(*add, "--json", "--", "true")
    assert f"flowctl: inbox: nothing matches {tmp_path}/in/*.csv yet\n" == made.stderr
    assert ("change", f"{tmp_path}/in/*.csv\n{tmp_path}/notes.txt", 5_000, None) == tuple(
        made.json[name] for name in ("kind", "expression", "debounce_ms", "next_at")
    )
    waits = f"when {tmp_path}/in/*.csv or {tmp_path}/notes.txt changes"
    assert [waits, "inbox"] == quick("next").stdout.splitlines()[1].rsplit(maxsplit=1)
    assert [] == quick("next", "inbox", "--json").json
    for words in (("schedules", "list"), ("schedules", "show", "inbox"), ("why", "inbox")):
        assert waits in quick(*words).stdout
    assert "inbox is left out: it is due by change" in quick("crontab", "export").stderr
    assert 1_000 == quick("schedules", "update", "inbox", "--debounce", "1s", "--json").json["debounce_ms"]
    changed = quick("schedules", "update", "inbox", "--every", "1h", "--json").json
    assert ("every", None) == (changed["kind"], changed["debounce_ms"])


def test_what_does_not_go_with_files_is_refused(quick) -> None:
    add = ("schedules", "add", "inbox")
    assert "exclude each other" in quick(*add, "--every", "1h", "--on-change", "x", "--", "true", code=2).stderr
    assert (
        "--debounce is for --on-change" in quick(*add, "--every", "1h", "--debounce", "1s", "--", "true", code=2).stderr
    )
    assert "is empty" in quick(*add, "--on-change", "", "--", "true", code=2).stderr


def test_the_input_of_a_workflow_is_checked_when_the_schedule_is_made(quick, digest) -> None:
    assert (
        "flowctl workflows list"
        in quick("schedules", "add", "a", "--workflow", "digest", "--every", "1h", code=4).stderr
    )
    quick("workflows", "add", digest)
    assert (
        "top must be int"
        in quick("schedules", "add", "a", "--workflow", "digest", "--every", "1h", "top=x", code=2).stderr
    )
    made = quick("schedules", "add", "a", "--workflow", "digest", "--every", "1h", "top=7", "--json").json
    assert {"top": 7, "name": "x"} == made["input"]
    other = quick(
        "schedules", "add", "b", "--workflow", "digest", "--every", "1h", "--input", '{"top": 8}', "--json"
    ).json
    assert {"top": 8, "name": "x"} == other["input"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--", "true"], "nothing says when it is due"),
        (["--every", "1h"], "nothing says what it runs"),
        (["--every", "1h", "--cron", "@daily", "--", "true"], "exclude each other"),
        (["--cron", "61 * * * *", "--", "true"], "minute"),
        (["--cron", "0 0 30 2 *", "--", "true"], "no year has such a date"),
        (["--cron", "@daily", "--tz", "Europe/Berln", "--", "true"], "did you mean Europe/Berlin"),
        (["--once", "soon", "--", "true"], "once: 'soon' is not a time"),
        (["--every", "1h", "--pause-after", "0", "--", "true"], "not a number of failures"),
        (["--every", "1h", "--window", "0s", "--", "true"], "longer than nothing"),
        (["--every", "1h", "--env", "NOT_THERE_AT_ALL", "--", "true"], "there is no such variable"),
        (["--every", "1h", "--tag", "x", "--", "true"], "is not a tag"),
        (["--every", "1h", "--input", "{}", "--", "true"], "--input is for a workflow"),
        (["--every", "1h", "--end-at", "2020-01-01", "--", "true"], "never due"),
        (["--every", "1h", "--shell", "--", "echo", "x"], "--shell takes one text"),
        (["--every", "1h", "--cap", "3", "--", "true"], "--cap is for --catch-up all"),
        (["--every", "1h", "--timeout", "0s", "--", "true"], "--timeout: it must be longer than nothing"),
        (["--every", "1h", "workflow=digest"], "'workflow=digest' is neither after -- nor for a workflow"),
        (["--every", "1h", "digest"], "give --workflow NAME, or a command after --"),
        (["--every", "1h", "digest", "--", "true"], "'digest' is neither after -- nor for a workflow"),
    ],
)
def test_e10_d09_what_makes_no_sense_is_refused_in_a_sentence(quick, database, words: list[str], said: str) -> None:
    assert said in quick("schedules", "add", "a", *words, code=2).stderr
    quick("schedules", "add", "ok", "--every", "1h", "--", "true")
    assert ["ok"] == [each["schedule"] for each in quick("schedules", "list", "--json").json]


def test_names_are_unique_and_a_wrong_one_is_answered_by_one_that_is_close(quick) -> None:
    quick("schedules", "add", "nightly", "--cron", "@daily", "--", "true")
    assert (
        "there is a schedule nightly already"
        in quick("schedules", "add", "nightly", "--cron", "@daily", "--", "true", code=5).stderr
    )
    for words in (["schedules", "show"], ["slots"], ["next"], ["schedules", "trigger"], ["schedules", "pause"]):
        assert "did you mean nightly?" in quick(*words, "nigthly", code=4).stderr
    for wrong in ("a/b", "@last", "42", " "):
        quick("schedules", "add", wrong, "--cron", "@daily", "--", "true", code=2)
    said = quick("schedules", "add", "a/b", "--cron", "@daily", "--", "true", code=2).stderr
    assert "without /, and no @ in front" in said


def test_an_interpreter_that_is_not_there_is_refused_when_the_schedule_is_made(quick) -> None:
    for wrong in ("/nope/python", "no-such-python"):
        said = quick("schedules", "add", "a", "--every", "1h", "--python", wrong, "--", "true", code=4).stderr
        assert f"there is no program '{wrong}' (--python)" in said


def test_a_cap_is_changed_only_where_all_slots_are_made_up_for(quick) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--catch-up", "all", "--cap", "3", "--", "true")
    assert 4 == quick("schedules", "update", "a", "--cap", "4", "--json").json["catch_up_cap"]
    said = quick("schedules", "update", "a", "--catch-up", "skip", "--cap", "5", code=2).stderr
    assert "give --catch-up all; now it is skip" in said


def test_a_paused_schedule_is_not_next_for_why_either(quick) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--", "true")
    assert quick("why", "a", "--json").json["evidence"]["next_at"]
    quick("schedules", "pause", "a")
    assert None is quick("why", "a", "--json").json["evidence"]["next_at"]


def test_adding_a_workflow_says_what_became_of_the_schedule_that_its_code_asks_for(quick, tmp_path) -> None:
    file = tmp_path / "timed.py"

    def add(options: str) -> str:
        file.write_text(f"from flowctl import workflow\n\n@workflow{options}\ndef timed() -> None: ...\n")
        said: str = quick("workflows", "add", file).stderr
        return said

    assert "schedule" not in add("")
    assert "schedule timed: made; see: flowctl next timed" in add("(schedule='@daily')")
    assert "schedule" not in add("(schedule='@daily')")
    assert "schedule timed: changed" in add("(schedule='@hourly')")
    assert "schedule timed: removed, as its code asks for none any more" in add("")


def test_update_changes_what_is_given_and_nothing_else(quick) -> None:
    first = quick(
        "schedules", "add", "nightly", "--cron", "0 2 * * *", "--tz", "Europe/Berlin", "--window", "2h",
        "--queue", "slow",
        "--tag", "a=b", "--pause-after", "3", "--requires", "gpu", "--timeout", "5m", "--json", "--", "true",
    ).json  # fmt: skip
    assert {"queue": "slow", "tags": {"a": "b"}, "requires": ["gpu"], "timeout_ms": 300_000} == first["options"]
    second = quick("schedules", "update", "nightly", "--window", "none", "--attempts", "2", "--json").json
    changed = {name for name in first if first[name] != second[name]}
    assert {"window_ms", "options", "changed_at"} == changed
    assert first["options"] | {"attempts": 2} == second["options"]
    third = quick("schedules", "update", "nightly", "--every", "1h", "--json", "--", "echo", "x").json
    assert ("every", {"argv": ["echo", "x"]}) == (third["kind"], third["input"])
    fourth = quick("schedules", "update", "nightly", "--every", "60m", "--json").json
    assert third == fourth
    assert "neither after -- nor for a workflow" in quick("schedules", "update", "nightly", "top=3", code=2).stderr


def test_update_takes_an_interpreter_and_an_env_file_away(quick, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    words = ("--python", sys.executable, "--env-file", ".env")
    made = quick("schedules", "add", "nightly", "--every", "1h", *words, "--json", "--", "true").json
    assert (sys.executable, str(tmp_path / ".env")) == (made["python"], made["env_file"])
    assert None is quick("schedules", "update", "nightly", "--python", "none", "--json").json["python"]
    changed = quick("schedules", "update", "nightly", "--env-file", "none", "--json").json
    assert (None, None) == (changed["python"], changed["env_file"])


def test_a_paused_schedule_says_since_when_by_its_own_clock(quick) -> None:
    quick("schedules", "add", "nightly", "--cron", "0 2 * * *", "--tz", "Asia/Tokyo", "--", "true")
    quick("schedules", "pause", "nightly", "--reason", "deploy")
    assert re.search(r"paused \(deploy\) since .* JST", quick("schedules", "show", "nightly").stdout)


def test_pause_and_resume_say_so_and_a_paused_schedule_is_not_next(quick, database) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--", "true")
    paused = quick("schedules", "pause", "a", "--reason", "deploy", "--json").json
    assert ("deploy", None) == (paused["pause_reason"], paused["next_at"])
    assert [] == quick("next", "--json").json
    assert "a is paused (deploy)" in quick("next", "a").stderr
    tick(database)
    assert [("skipped", "paused (deploy)")] == [
        (slot["outcome"], slot["reason"]) for slot in quick("slots", "a", "--json").json
    ]
    assert quick("schedules", "resume", "a", "--json").json["paused_at"] is None
    assert 10 == len(quick("next", "--json").json)


def test_a_second_pause_keeps_the_reason_of_the_first_unless_it_has_one(quick) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--", "true")
    first = quick("schedules", "pause", "a", "--reason", "disk", "--json").json
    second = quick("schedules", "pause", "a", "--json")
    assert first == second.json
    assert "a was paused already, and stays so; --reason gives it another reason\n" == second.stderr
    third = quick("schedules", "pause", "a", "--reason", "deploy")
    assert ("", True) == (third.stderr, "paused (deploy)" in third.stdout)


def test_next_merges_all_schedules_in_order_with_local_times(quick) -> None:
    quick("schedules", "add", "hourly", "--cron", "0 * * * *", "--tz", "UTC", "--", "true")
    quick("schedules", "add", "half", "--cron", "30 * * * *", "--tz", "Asia/Kathmandu", "--", "true")
    found = quick("next", "--from", "2026-03-01T00:00Z", "-n", "3", "--json").json
    assert [
        {"schedule": "hourly", "due_at": "2026-03-01T00:00:00.000Z", "local": "2026-03-01T00:00:00+00:00"},
        {"schedule": "half", "due_at": "2026-03-01T00:45:00.000Z", "local": "2026-03-01T06:30:00+05:45"},
        {"schedule": "hourly", "due_at": "2026-03-01T01:00:00.000Z", "local": "2026-03-01T01:00:00+00:00"},
    ] == found


def test_times_are_by_the_clock_of_the_schedule_wherever_they_are_given_or_printed(quick, database) -> None:
    words = ["schedules", "add", "tokyo", "--cron", "0 3 * * *", "--tz", "Asia/Tokyo", "--start-at", "2030-01-01"]
    assert "2029-12-31T15:00:00.000Z" == quick(*words, "--json", "--", "true").json["start_at"]
    ends = quick("schedules", "update", "tokyo", "--end-at", "2030-02-01", "--json").json["end_at"]
    assert "2030-01-31T15:00:00.000Z" == ends
    assert "2030-01-01 00:00:00 JST" in quick("schedules", "show", "tokyo").stdout
    found = quick("next", "tokyo", "--from", "2030-01-05T03:00", "-n", "1", "--json").json
    assert ["2030-01-04T18:00:00.000Z"] == [each["due_at"] for each in found]
    why = quick("why", "tokyo", "--at", "2030-01-05T03:00").stdout
    assert "the slot of 2030-01-05 03:00:00 JST is not due yet" in why
    once = quick("schedules", "add", "once", "--once", "03:00", "--tz", "Asia/Tokyo", "--json", "--", "true").json
    assert once["next_at"].endswith("T18:00:00.000Z")


def test_a_slot_is_backfilled_by_the_time_that_the_ledger_prints(quick) -> None:
    quick("schedules", "add", "tokyo", "--cron", "0 3 * * *", "--tz", "Asia/Tokyo", "--", "true")
    words = ["--from", "2026-01-05T03:00", "--to", "2026-01-05T03:00", "--dry-run", "--json"]
    filled = quick("schedules", "backfill", "tokyo", *words).json
    assert ["2026-01-04T18:00:00.000Z"] == [each["due_at"] for each in filled]


def test_e07_next_tries_an_expression_without_a_file(quick, database) -> None:
    words = ["next", "--cron", "30 2 * * *", "--tz", "America/New_York", "--from", "2026-03-08T00:00Z", "-n", "2"]
    found = quick(*words, "--json").json
    assert [(None, "2026-03-08T07:00:00.000Z"), (None, "2026-03-09T06:30:00.000Z")] == [
        (each["schedule"], each["due_at"]) for each in found
    ]
    assert "Sun 2026-03-08 03:00:00 EDT" in quick(*words).stdout
    assert "exclude each other" in quick("next", "x", "--cron", "@daily", code=2).stderr
    assert "--tz is for --cron" in quick("next", "--tz", "UTC", code=2).stderr
    assert not database.exists()


def test_trigger_prints_the_run_and_backfill_asks_first(quick) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--overlap", "allow", "--", "true")
    assert {"run": 1} == quick("schedules", "trigger", "a", "--json").json
    quick("schedules", "add", "b", "--every", "1h", "--", "true")
    assert "" == quick("schedules", "trigger", "b").stderr
    assert "run 3 begins when run 2 has ended" in quick("schedules", "trigger", "b").stderr
    words = ["schedules", "backfill", "a", "--from", "2026-01-01T00:30Z", "--to", "2026-01-01T02:00Z", "--json"]
    dry = quick(*words, "--dry-run").json
    expected = ["2026-01-01T01:00:00.000Z", "2026-01-01T02:00:00.000Z"]
    assert [{"due_at": due, "run": None} for due in expected] == dry
    assert "say so with --yes" in quick(*words, code=2).stderr
    assert [{"due_at": due, "run": run} for due, run in zip(expected, (4, 5), strict=True)] == quick(
        *words, "--yes"
    ).json
    assert [] == quick(*words, "--yes").json
    assert (
        "more than 1 slots"
        in quick("schedules", "backfill", "a", "--from", "2026-01-05", "--limit", "1", "--yes", code=2).stderr
    )


def test_remove_asks_and_leaves_the_runs(quick) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--", "true")
    quick("schedules", "trigger", "a")
    quick("schedules", "remove", "a", code=2)
    assert ["a"] == quick("schedules", "remove", "a", "--yes", "--json").json["removed"]
    assert [] == quick("schedules", "list", "--json").json
    assert 1 == len(quick("ls", "--json").json)


def test_variables_are_captured_where_a_schedule_and_a_workflow_are_registered(
    quick, digest, database, monkeypatch
) -> None:
    monkeypatch.setenv("TOKEN_FILE", "/run/token")
    monkeypatch.setenv("PATH", "/opt/own/bin:/usr/bin:/bin")
    quick("workflows", "add", digest, "--env", "TOKEN_FILE")
    monkeypatch.setenv("OTHER", "1")
    quick("schedules", "add", "command", "--every", "1h", "--", "true")
    quick("schedules", "add", "plain", "--workflow", "digest", "--every", "1h")
    quick("schedules", "add", "own", "--workflow", "digest", "--every", "1h", "--env", "OTHER")
    tick(database)
    with Store.open(database) as store:
        found = {
            run["schedule"]: store.environments.get(store.runs.get(run["run"]).environment or "")
            for run in quick("ls", "--json").json
        }
    path = {"PATH": "/opt/own/bin:/usr/bin:/bin"}
    assert {
        "command": path,
        "plain": path | {"TOKEN_FILE": "/run/token"},
        "own": path | {"TOKEN_FILE": "/run/token", "OTHER": "1"},
    } == found


def captured(database: Path) -> dict[str, dict[str, str]]:
    with Store.open(database) as store:
        rows = [*store.workflows.list("default"), *store.schedules.all("default")]
        return {each.name: store.environments.get(each.environment or "") for each in rows}


def test_what_doctor_says_of_other_variables_mends_them_and_drops_none(quick, digest, database, monkeypatch) -> None:
    paths = [f"{digest.parent}:/usr/bin", f"{digest.parent}:/bin"]
    monkeypatch.setenv("PATH", paths[0])
    monkeypatch.setenv("COLOUR", "red")
    monkeypatch.setenv("TOKEN", "hush")
    quick("workflows", "add", digest, "--env", "COLOUR", "--env", "TOKEN")
    quick("schedules", "add", "nightly", "--every", "1h", "--env", "COLOUR", "--env", "TOKEN", "--", "true")
    monkeypatch.setenv("PATH", paths[1])
    monkeypatch.setenv("COLOUR", "blue")
    monkeypatch.delenv("TOKEN")
    hints = differing(quick)
    assert [f"flowctl workflows add {digest}", "flowctl schedules update nightly --env COLOUR --env PATH"] == hints
    for hint in hints:
        quick(*hint.split()[1:])
    assert [] == differing(quick)
    variables = {"PATH": paths[1], "COLOUR": "blue", "TOKEN": "hush"}
    assert {"digest": variables, "nightly": variables} == captured(database)


def differing(quick) -> list[str]:
    """Return what doctor suggests where variables are not those of this shell."""
    found = quick("doctor", "--json", code=None).json
    return [each["hint"] for each in found if "are not those of this shell" in each["message"]]


def test_e13_code_makes_keeps_changes_and_removes_its_schedule(quick, tmp_path, database) -> None:
    path = write(tmp_path, '(schedule={"every": "1h", "overlap": "queue", "input": {"top": 9}}, requires=["gpu"])')
    quick("workflows", "add", path)
    [made] = quick("schedules", "list", "--json").json
    assert ("digest", "code", "1h", "queue", {"top": 9, "name": "x"}) == (
        made["schedule"], made["source"], made["expression"], made["overlap"], made["input"],
    )  # fmt: skip
    tick(database)
    slots = quick("slots", "digest", "--json").json
    with Store.open(database) as store:
        assert '["gpu"]' == store.runs.get(slots[0]["run"]).requires
    quick("workflows", "add", path)
    [again] = quick("schedules", "list", "--json").json
    assert made | {"next_at": again["next_at"]} == again
    write(tmp_path, '(schedule="0 3 * * *")')
    quick("workflows", "add", path)
    [changed] = quick("schedules", "list", "--json").json
    assert ("cron", "0 3 * * *", "skip", 5) == (
        changed["kind"], changed["expression"], changed["overlap"], changed["input"]["top"],
    )  # fmt: skip
    assert slots == quick("slots", "digest", "--json").json
    write(tmp_path)
    quick("workflows", "add", path)
    assert [] == quick("schedules", "list", "--json").json


def test_a_schedule_of_code_goes_with_its_workflow_and_one_of_a_person_stays(quick, tmp_path) -> None:
    path = write(tmp_path, '(schedule="@daily")')
    quick("workflows", "add", path)
    quick("schedules", "add", "mine", "--workflow", "digest", "--every", "1h")
    quick("workflows", "remove", "digest")
    assert ["mine"] == [each["schedule"] for each in quick("schedules", "list", "--json").json]
    quick("schedules", "add", "digest", "--every", "1h", "--", "true")
    assert "one of that name that it has not made" in quick("workflows", "add", path, code=5).stderr
    assert [] == quick("workflows", "list", "--json").json


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('(schedule="61 * * * *")', "@workflow digest: schedule: "),
        ('(schedule={"cron": "@daily", "input": {"top": "x"}})', "@workflow digest: schedule: "),
        ('(schedule={"cron": "@daily", "every": "1h"})', "schedule: give exactly one of cron, every and once"),
        ('(schedule={"cron": "@daily", "overlapp": "skip"})', "did you mean 'overlap'?"),
        ('(schedule={"cron": "@daily", "overlap": "never"})', "schedule: overlap: 'never' is not one of"),
        ('(requires="gpu")', "requires: 'gpu' is not a list of labels"),
    ],
)
def test_a_schedule_in_code_that_makes_no_sense_is_refused_with_its_workflow(quick, tmp_path, options, said) -> None:
    assert said in quick("workflows", "add", write(tmp_path, options), code=2).stderr
    assert [] == quick("workflows", "list", "--json").json


def test_a_table_holds_what_a_person_needs_and_no_escape_of_a_name(quick, database) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--description", "tidy\x1b[31m up", "--", "echo", "\x1b]0;x\x07")
    quick("schedules", "pause", "a", "--reason", "\x1b[2J")
    tick(database)
    for words in (["schedules", "list"], ["schedules", "show", "a"], ["slots", "a"], ["next", "a"]):
        said = quick(*words)
        assert "\x1b" not in said.stdout + said.stderr
        assert "\x07" not in said.stdout + said.stderr
    assert "every 1h" in quick("schedules", "list").stdout
    assert json.loads(quick("schedules", "show", "a", "--json").stdout)["description"] == "tidy\x1b[31m up"


def test_why_ends_its_lines_between_words_on_a_terminal(quick, on_terminal, database) -> None:
    quick("schedules", "add", "a", "--every", "1h", "--", "true")
    quick("schedules", "pause", "a", "--reason", "one two three four five six seven eight nine ten eleven twelve")
    with on_terminal("why", "a", size=(24, 40)) as screen:
        said = screen.read_to_end().split("\r\n")
    assert max(map(len, said)) <= 40
    assert quick("why", "a").stdout.split() == " ".join(said[:-2]).split()
