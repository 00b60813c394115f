"""`flowctl crontab`: every line of a crontab accounted for, schedules held while cron has their lines, and back."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowctl.core.clock import SystemClock
from flowctl.core.crontab import CrontabEntry, read_crontab
from flowctl.engine import cron
from flowctl.engine.crontab import HELD, Scope, carry_out, plan
from flowctl.store import Store

REAL = """\
# Edit this file to introduce tasks to be run by cron.
#
# m h  dom mon dow   command

MAILTO=ada@example.org
PATH=/usr/local/bin:/usr/bin:/bin
# Nightly backup of the documents,
# kept for a week.
30 2 * * * /home/ada/bin/backup.sh --keep 7 >> /home/ada/backup.log 2>&1
*/15 8-18 * * mon-fri cd /srv/app && ./sync.py --all
0,30 6-20/2 1,15 * * /usr/bin/nice -n 19 rsync -a /srv/ /mnt/disk/
0 6 * * 1 mail -s "Report of \\%d" team%Good morning,%%here it is.
@reboot /usr/bin/python3 -u /srv/app/watch.py
@daily certbot renew --quiet
@hourly backup.sh small
MAILTO=""
SHELL=/bin/bash
5 4 * * sun find /tmp -name '*.tmp' -mtime +7 -delete
CRON_TZ=Asia/Tokyo
0 9 * * * /opt/tokyo/open.sh
#15 * * * * switched-off

61 * * * * wrong.sh
0 0 30 2 * never.sh
A line that somebody has forgotten
"""
ROWS = [
    (1, "comment", None), (2, "comment", None), (3, "comment", None), (4, "comment", None),
    (5, "setting", None), (6, "setting", None), (7, "comment", None), (8, "comment", None),
    (9, "attention", "backup"), (10, "attention", "sync"), (11, "attention", "rsync"), (12, "attention", "mail"),
    (13, "attention", "watch"), (14, "attention", "certbot"), (15, "attention", "backup-2"),
    (16, "setting", None), (17, "setting", None), (18, "imported", "find"), (19, "setting", None),
    (20, "attention", "open"), (21, "comment", None), (22, "comment", None),
    (23, "refused", None), (24, "refused", None), (25, "refused", None),
]  # fmt: skip
NAMES = sorted(name for _, _, name in ROWS if name is not None)


class Cron:
    """A `crontab` program that keeps its table in a file, and says with which arguments it was called."""

    def __init__(self, folder: Path) -> None:
        self.table, self.calls, self.program = folder / "table", folder / "calls", folder / "crontab"
        table, calls = shlex.quote(str(self.table)), shlex.quote(str(self.calls))
        self.answer(
            f'echo "$*" >> {calls}\ncase "$1" in\n'
            f'-l) test -e {table} || {{ echo "no crontab for ada" >&2; exit 1; }}; cat {table};;\n'
            f"-) cat > {table};;\nesac\n"
        )

    def answer(self, script: str) -> None:
        self.program.write_text(f"#!/bin/sh\n{script}")
        self.program.chmod(0o755)

    @property
    def text(self) -> str:
        return self.table.read_text()

    @text.setter
    def text(self, text: str) -> None:
        self.table.write_bytes(text.encode())


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cron:
    """The person's own crontab: the real one above. The machine has no other."""
    folder = tmp_path / "cron"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cron, "SYSTEM_TABLE", folder / "etc" / "crontab")
    monkeypatch.setattr(cron, "SYSTEM_TABLES", folder / "etc" / "cron.d")
    made = Cron(folder)
    made.text = REAL
    return made


def states(quick: Callable) -> dict[str, str | None]:
    """Return by name why schedules are paused."""
    return {each["schedule"]: each["pause_reason"] for each in quick("schedules", "list", "--json").json}


def outcomes(rows: list[dict]) -> list[tuple]:
    return [(row["line"], row["outcome"], row["schedule"]) for row in rows]


# -- every line


def test_a_dry_run_accounts_for_every_line_and_makes_nothing(quick, crontab) -> None:
    rows = quick("crontab", "import", "--json").json
    assert ["line", "text", "outcome", "reason", "schedule"] == list(rows[0])
    assert ROWS == outcomes(rows)
    assert REAL.splitlines() == [row["text"] for row in rows]
    reasons = {row["line"]: row["reason"] for row in rows}
    assert None is reasons[1]
    assert "not mailed to 'ada@example.org' (MAILTO)" in reasons[9]
    assert "what follows the % is its standard input" in reasons[12]
    assert "when the daemon first starts after a boot" in reasons[13]
    assert "it runs in '/bin/bash' (SHELL)" == reasons[18]
    assert "Asia/Tokyo (CRON_TZ)" in reasons[20]
    assert "minute 61 is out of range: it is 0 to 59" == reasons[23]
    assert "no year has such a date" in reasons[24]
    assert "minute 'a' cannot be read: it is 0 to 59" == reasons[25]
    assert {} == states(quick)
    assert (REAL, "-l\n-l\n") == (crontab.text, crontab.calls.read_text())


def test_a_person_is_told_what_becomes_of_the_lines_and_what_to_do_next(quick, crontab) -> None:
    said = quick("crontab", "import")
    assert "   9  ! attention  backup    30 2 * * * /home/ada/bin/backup.sh --keep 7 >>" in said.stdout
    assert "9-15 its output is kept in the run and not mailed to 'ada@example.org' (MAILTO)" in " ".join(
        said.stdout.split()
    )
    assert "25 lines: 9 imported (8 to be looked at), 3 refused, 5 settings, 8 comments" in said.stderr
    assert "schedules: 9 to be made" in said.stderr
    assert said.stderr.endswith("nothing was changed; to make the schedules: flowctl crontab import --apply\n")
    said = quick("crontab", "import", "--apply")
    assert "schedules: 9 made" in said.stderr
    assert "flowctl crontab import --apply --take-over" in said.stderr


def test_a_schedule_does_what_cron_does_with_its_line(quick, crontab, tmp_path) -> None:
    quick("crontab", "import", "--apply")
    found = {each["schedule"]: each for each in quick("schedules", "list", "--json").json}
    assert NAMES == sorted(found)
    assert {"crontab"} == {each["source"] for each in found.values()}
    assert {str(tmp_path)} == {each["directory"] for each in found.values()}
    assert "Nightly backup of the documents,\nkept for a week." == found["backup"]["description"]
    assert {"command": "cd /srv/app && ./sync.py --all"} == found["sync"]["input"]
    assert {
        "command": 'mail -s "Report of %d" team',
        "input": "Good morning,\n\nhere it is.\n",
    } == found["mail"]["input"]
    assert {"argv": ["/bin/bash", "-c", "find /tmp -name '*.tmp' -mtime +7 -delete"]} == found["find"]["input"]
    assert ("Asia/Tokyo", None) == (found["open"]["zone"], found["find"]["zone"])
    assert "0,30 6-20/2 1,15 * *" == found["rsync"]["expression"]
    with Store.open(tmp_path / ".xdg" / "state" / "flowctl" / "flowctl.db", read_only=True) as store:
        made = {each.name: store.environments.get(each.environment or "") for each in store.schedules.all("default")}
    path = "/usr/local/bin:/usr/bin:/bin"
    assert {"MAILTO": "ada@example.org", "PATH": path, "SHELL": "/bin/sh"} == made["backup"]
    assert ("", "/bin/bash") == (made["find"]["MAILTO"], made["find"]["SHELL"])


def test_a_command_gets_the_home_the_shell_and_the_input_that_cron_would_give_it(quick, crontab, tmp_path) -> None:
    home = tmp_path / "other home"
    home.mkdir()
    crontab.text = f'SHELL=/bin/bash\nHOME="{home}"\n0 0 1 1 * pwd; echo ${{BASH##*/}}; cat%one%two\n'
    quick("crontab", "import", "--apply", "--take-over", "--yes")
    [name] = states(quick)
    quick("schedules", "trigger", name)
    quick("resume", "1")
    [step] = quick("show", "1", "--json").json["steps"]
    assert f"{home}\nbash\none\ntwo\n" == step["output"]["stdout"]


def test_a_file_or_stdin_is_imported_too_and_is_not_held_when_cron_does_not_have_its_lines(
    flowctl, crontab, tmp_path
) -> None:
    crontab.text = "0 0 * * * in-cron\n"
    (tmp_path / "table").write_text("0 0 * * * in-cron\n0 1 * * * from-file\n")
    flowctl("crontab", "import", "table", "--apply")
    flowctl("crontab", "import", "-", "--apply", input="0 2 * * * from-stdin\n")
    assert {"from-file": None, "from-stdin": None, "in-cron": HELD} == states(flowctl)


# -- again and again


def test_importing_the_same_crontab_again_changes_nothing(quick, crontab) -> None:
    quick("crontab", "import", "--apply")
    before = quick("schedules", "list", "--json").json
    again = quick("crontab", "import", "--apply")
    assert "schedules: 9 unchanged" in again.stderr
    assert before == quick("schedules", "list", "--json").json


def test_a_line_is_known_again_wherever_it_stands_and_whatever_name_it_would_get(quick, crontab) -> None:
    quick("crontab", "import", "--apply")
    lines = [line for line in REAL.splitlines() if "backup.sh --keep" not in line]
    crontab.text = "\n".join([*lines, ""])
    rows = quick("crontab", "import", "--apply", "--json").json
    assert ["backup-2"] == [row["schedule"] for row in rows if "backup.sh small" in row["text"]]
    assert NAMES == sorted(states(quick))


def test_a_changed_line_changes_its_schedule_and_leaves_what_a_person_has_set(quick, crontab) -> None:
    quick("crontab", "import", "--apply")
    quick("schedules", "update", "backup", "--overlap", "allow", "--jitter", "5m")
    crontab.text = REAL.replace("30 2 * * * /home", "45 3 * * * /home")
    assert "schedules: 1 to be changed, 8 unchanged" in quick("crontab", "import").stderr
    assert "schedules: 1 changed, 8 unchanged" in quick("crontab", "import", "--apply").stderr
    found = quick("schedules", "show", "backup", "--json").json
    assert ("45 3 * * *", "allow", 300_000, HELD) == (
        found["expression"], found["overlap"], found["jitter_ms"], found["pause_reason"],
    )  # fmt: skip


def test_a_line_that_runs_another_program_of_the_same_name_is_another_schedule(quick, tmp_path) -> None:
    def imported(*lines: str) -> list[tuple]:
        (tmp_path / "lines").write_text("".join(f"{line}\n" for line in lines))
        rows = quick("crontab", "import", str(tmp_path / "lines"), "--apply", "--json").json
        return [(row["schedule"], row["reason"]) for row in rows]

    assert [("backup", None)] == imported("0 1 * * * /opt/a/backup.sh")
    assert [("backup-2", None)] == imported("0 2 * * * /opt/b/backup.sh")
    assert [("run", None)] == imported("@daily cd /srv/a && ./run.sh")
    assert [("run-2", None)] == imported("@hourly cd /srv/b && ./run.sh")
    (moved,) = imported("30 2 * * * /opt/b/backup.sh")
    assert ("backup-2", "it changes the schedule backup-2, which was: 0 2 * * * /opt/b/backup.sh") == moved
    (other,) = imported("30 2 * * * /opt/b/backup.sh --all")
    assert ("backup-2", "it changes the schedule backup-2, which was: 30 2 * * * /opt/b/backup.sh") == other
    assert {"backup", "backup-2", "run", "run-2"} == set(states(quick))
    assert "0 1 * * *" == quick("schedules", "show", "backup", "--json").json["expression"]


def test_a_user_where_no_column_for_it_was_expected_is_named(quick, tmp_path) -> None:
    lines = [
        "17 *\t* * *\troot\tcd / && run-parts /etc/cron.hourly",
        "0 0 * * * root cd /",
        "0 0 * * * root",
        "0 0 * * * /root/run it",
    ]
    (tmp_path / "lines").write_text("".join(f"{line}\n" for line in lines))
    rows = quick("crontab", "import", str(tmp_path / "lines"), "--user-format", "--json").json
    assert ["attention", "attention", "imported", "imported"] == [row["outcome"] for row in rows]
    assert "its command begins with 'root', an account and no program: see --system-format" == rows[0]["reason"]


def test_a_line_of_nothing_but_input_is_imported_as_it_is(quick, tmp_path) -> None:
    (tmp_path / "lines").write_text("0 1 * * * %hello%\n")
    rows = quick("crontab", "import", str(tmp_path / "lines"), "--json").json
    assert [("imported", "command")] == [(row["outcome"], row["schedule"]) for row in rows]


def test_a_line_whose_schedule_was_given_a_workflow_gets_one_of_its_own(quick, tmp_path) -> None:
    (tmp_path / "wf.py").write_text("from flowctl import workflow\n\n@workflow\ndef nightly() -> None: ...\n")
    quick("workflows", "add", tmp_path / "wf.py")
    (tmp_path / "lines").write_text("0 1 * * * /opt/a/backup.sh\n")
    quick("crontab", "import", str(tmp_path / "lines"), "--apply")
    quick("schedules", "update", "backup", "--workflow", "nightly")
    (tmp_path / "lines").write_text("0 1 * * * /opt/a/backup.sh --all\n")
    rows = quick("crontab", "import", str(tmp_path / "lines"), "--apply", "--json").json
    assert ["backup-2"] == [row["schedule"] for row in rows]
    assert "nightly" == quick("schedules", "show", "backup", "--json").json["workflow"]


def test_a_name_that_a_person_has_given_already_is_left_to_them(quick, crontab) -> None:
    quick("schedules", "add", "backup", "--every", "1h", "--", "true")
    quick("schedules", "add", "sync", "--cron", "@daily", "--", "true")
    rows = quick("crontab", "import", "--apply", "--json").json
    names = [row["schedule"] for row in rows if row["schedule"]]
    assert ["backup-2", "sync-2"] == names[:2]
    assert len(set(names)) == len(names)
    assert {"argv": ["true"]} == quick("schedules", "show", "backup", "--json").json["input"]


# -- cron and flowctl never run a line both


def test_an_imported_schedule_is_held_until_its_line_is_taken_out_of_the_crontab(quick, crontab) -> None:
    quick("crontab", "import", "--apply")
    assert {HELD} == set(states(quick).values())
    crontab.text = REAL.replace("@daily certbot", "#@daily certbot")
    quick("crontab", "import", "--apply")
    assert ["certbot"] == [name for name, reason in states(quick).items() if reason is None]


def test_take_over_comments_the_lines_out_and_lets_the_schedules_go_on(quick, crontab) -> None:
    said = quick("crontab", "import", "--apply", "--take-over", "--yes")
    assert "flowctl daemon start" in said.stderr
    assert {None} == set(states(quick).values())
    lines = crontab.text.splitlines()
    at = lines.index("# flowctl runs this, as backup:")
    assert lines[at + 1] == "# 30 2 * * * /home/ada/bin/backup.sh --keep 7 >> /home/ada/backup.log 2>&1"
    left = [line.entry for line in read_crontab(crontab.text, system=False) if line.entry is not None]
    assert [] == left
    kept = [line for line in lines if not line.startswith("# flowctl runs this")]
    assert [line.removeprefix("# ") for line in REAL.splitlines()] == [line.removeprefix("# ") for line in kept]
    rows = quick("crontab", "import", "--json").json
    assert {"comment", "setting", "refused"} == {row["outcome"] for row in rows}


def test_take_over_asks_and_is_for_ones_own_crontab(quick, flowctl, crontab, tmp_path) -> None:
    (tmp_path / "table").write_text(REAL)
    for words in (["--take-over"], ["--take-over", "--apply", "table"], ["--take-over", "--apply", "-"]):
        assert "--take-over is for your own crontab, with --apply" in quick("crontab", "import", *words, code=2).stderr
    asked = flowctl("crontab", "import", "--apply", "--take-over", code=2)
    assert "nobody can be asked whether to comment out 9 lines of your crontab" in asked.stderr
    assert (REAL, {}) == (crontab.text, states(quick))


def test_what_cron_refuses_leaves_the_schedules_held(quick, crontab) -> None:
    crontab.answer(f'case "$1" in -l) cat {shlex.quote(str(crontab.table))};; *) echo "not allowed" >&2; exit 1;; esac')
    said = quick("crontab", "import", "--apply", "--take-over", "--yes", code=77).stderr
    assert "crontab - refused the new crontab: not allowed" in said
    assert {HELD} == set(states(quick).values())


def test_a_crontab_that_changes_meanwhile_is_not_overwritten(quick, crontab) -> None:
    table = shlex.quote(str(crontab.table))
    crontab.answer(f'case "$1" in -l) cat {table}; echo "# edited" >> {table};; *) cat > {table};; esac')
    assert "has changed meanwhile" in quick("crontab", "import", "--apply", "--take-over", "--yes", code=5).stderr
    assert crontab.text.startswith(REAL)
    assert {HELD} == set(states(quick).values())


def test_nothing_is_let_go_while_nobody_can_say_what_cron_runs(quick, crontab, tmp_path) -> None:
    quick("crontab", "import", "--apply")
    crontab.answer('echo "you (ada) are not allowed to use this program" >&2; exit 1')
    (tmp_path / "table").write_text("0 3 * * * other\n")
    assert "not all that cron runs can be read" in quick("crontab", "import", "table", "--apply").stderr
    assert {HELD} == {reason for name, reason in states(quick).items() if name != "other"}


def test_resuming_what_cron_still_runs_warns(quick, crontab) -> None:
    quick("crontab", "import", "--apply")
    said = quick("schedules", "resume", "sync")
    assert "flowctl: sync: cron runs it too, its line is still active in the crontab" in said.stderr
    rows = quick("crontab", "import", "--json").json
    assert ["sync"] == [row["schedule"] for row in rows if row["reason"] and "cron runs it too" in row["reason"]]
    crontab.text = ""
    assert "cron runs it too" not in quick("schedules", "resume", "backup").stderr


def test_the_doctor_finds_what_runs_twice_and_what_is_held_for_nothing(quick, crontab) -> None:
    def found() -> list[tuple[str, str, str]]:
        told = quick("doctor", "--json", code=None).json
        return [
            (each["subject"], each["message"], each["hint"])
            for each in told
            if (each["check"], each["level"]) == ("crontab", "warning")
        ]

    quick("crontab", "import", "--apply")
    assert [] == found()
    quick("schedules", "resume", "sync")
    [(subject, said, hint)] = found()
    assert ("schedule sync", "flowctl crontab import --apply --take-over") == (subject, hint)
    assert "runs twice" in said
    crontab.text = REAL.replace("@daily certbot", "#@daily certbot").replace("*/15 8-18", "#*/15 8-18")
    assert [("schedule certbot", "flowctl schedules resume certbot")] == [(each[0], each[2]) for each in found()]


# -- the system's crontabs


def test_a_file_of_the_system_names_its_users_and_only_ones_own_lines_are_taken(quick, crontab) -> None:
    me = cron.user_name()
    cron.SYSTEM_TABLES.mkdir(parents=True)
    table = cron.SYSTEM_TABLES / "backup"
    table.write_text(f"0 1 * * * {me} mine\n0 2 * * * somebody theirs\n")
    rows = quick("crontab", "import", table, "--apply", "--json").json
    assert [(1, "imported", "mine"), (2, "refused", None)] == outcomes(rows)
    assert f"cron runs it as 'somebody' and flowctl as {me}: let 'somebody' import it" == rows[1]["reason"]
    assert {"mine": HELD} == states(quick)
    table.rename(table.with_name("backup.off"))  # which cron does not read
    quick("crontab", "import", "--apply")
    assert None is states(quick)["mine"]


def test_the_format_can_be_said(quick, crontab, tmp_path) -> None:
    (tmp_path / "table").write_text(f"0 1 * * * {cron.user_name()} run\n")
    [row] = quick("crontab", "import", "table", "--system-format", "--json").json
    assert "run" == row["schedule"]
    [row] = quick("crontab", "import", "table", "--user-format", "--json").json
    assert cron.user_name() == row["schedule"]
    assert "no column for the user" in quick("crontab", "import", "--system-format", code=2).stderr


# -- back


def test_an_export_gives_the_crontab_back(quick, crontab, tmp_path) -> None:
    quick("crontab", "import", "--apply")
    exported = quick("crontab", "export").stdout
    (tmp_path / "back").write_text(exported)

    def entries(text: str) -> list[CrontabEntry]:
        return [line.entry for line in read_crontab(text, system=False) if line.entry is not None]

    assert entries(REAL) == entries(exported)
    assert "schedules: 9 unchanged" in quick("crontab", "import", "back", "--apply").stderr
    quick("--namespace", "other", "crontab", "import", "back", "--apply")
    assert exported == quick("--namespace", "other", "crontab", "export").stdout


def test_an_export_writes_schedules_of_both_kinds(quick, crontab) -> None:
    crontab.text = "MAILTO=ada@example.org\n0 1 * * * /opt/a/backup.sh\n"
    quick("crontab", "import", "--apply")
    quick("schedules", "add", "mine", "--cron", "0 3 * * *", "--", "date")
    text = quick("crontab", "export").stdout
    mine, usual, mailto, imported = text.splitlines()[1:]
    assert mine.startswith("0 3 * * * ")
    assert ["PATH=/usr/bin:/bin", "MAILTO=ada@example.org"] == sorted([usual, mailto], reverse=True)
    assert "0 1 * * * /opt/a/backup.sh" == imported


def test_an_export_says_what_a_crontab_cannot_say(quick, crontab, tmp_path) -> None:
    (tmp_path / "flow.py").write_text("from flowctl import workflow\n\n@workflow\ndef flow() -> None: ...\n")
    quick("workflows", "add", "flow.py")
    quick("schedules", "add", "code", "--workflow", "flow", "--cron", "@daily")
    quick("schedules", "add", "often", "--every", "10m", "--", "true")
    quick("schedules", "add", "off", "--cron", "@daily", "--", "true")
    quick("schedules", "pause", "off", "--reason", "broken")
    quick("schedules", "add", "tidy", "--cron", "0 1 * * *", "--jitter", "5m", "--queue", "slow", "--", "echo", "a b")
    rows = quick("crontab", "export", "--json").json
    assert ["line", "text", "outcome", "reason", "schedule"] == list(rows[0])
    assert [
        ("code", "refused", "it runs the workflow flow, and cron runs commands alone"),
        ("often", "refused", "it is due by every, and a crontab has cron expressions alone"),
        ("off", "refused", "it is paused (broken)"),
        ("tidy", "attention", "cron has no jitter, queue"),
    ] == [(row["schedule"], row["outcome"], row["reason"]) for row in rows]
    text = quick("crontab", "export").stdout
    assert text.splitlines()[rows[3]["line"] - 1] == rows[3]["text"] == "0 1 * * * echo 'a b'"


def test_a_command_of_another_folder_goes_there_first(quick, crontab, tmp_path, monkeypatch) -> None:
    quick("schedules", "add", "tidy", "--cron", "0 1 * * *", "--", "./tidy.sh", "100%")
    monkeypatch.setenv("HOME", "/nowhere")
    line = quick("crontab", "export", "--json").json[0]["text"]
    assert f"0 1 * * * cd {tmp_path} && ./tidy.sh 100\\%" == line


# -- what goes wrong


LATIN = b"# f\xfcr die Uhr\n0 0 * * * clock\n0 1 * * * caf\xe9\nX=caf\xe9\n0 2 * * * last\n"


@pytest.mark.parametrize("source", [[], ["latin"]])
def test_of_lines_that_are_not_utf8_only_these_are_refused(flowctl, crontab, tmp_path, source: list[str]) -> None:
    (tmp_path / "latin").write_bytes(LATIN)
    crontab.table.write_bytes(LATIN)
    rows = flowctl("crontab", "import", *source, "--apply", "--json").json
    assert [
        (1, "comment", None), (2, "imported", "clock"), (3, "refused", None), (4, "refused", None),
        (5, "imported", "last"),
    ] == outcomes(rows)  # fmt: skip
    assert ("0 1 * * * caf\ufffd", "it is not UTF-8 text") == (rows[2]["text"], rows[2]["reason"])
    assert "f\ufffdr die Uhr" == flowctl("schedules", "show", "clock", "--json").json["description"]


def test_take_over_leaves_bytes_that_are_not_utf8_as_they_are(quick, crontab) -> None:
    crontab.table.write_bytes(LATIN)
    quick("crontab", "import", "--apply", "--take-over", "--yes")
    lines = crontab.table.read_bytes().splitlines()
    assert [b"# f\xfcr die Uhr", b"0 1 * * * caf\xe9", b"X=caf\xe9"] == [line for line in lines if not line.isascii()]
    assert b"# 0 0 * * * clock" in lines


def test_what_cannot_be_read_is_told_in_a_sentence(quick, crontab, tmp_path, monkeypatch) -> None:
    assert "there is no file gone" in quick("crontab", "import", "gone", code=4).stderr
    crontab.answer('echo "you (ada) are not allowed to use this program" >&2; exit 1')
    assert "crontab -l refused: you (ada) are not allowed" in quick("crontab", "import", code=77).stderr
    crontab.table.unlink()
    crontab.answer('echo "no crontab for ada" >&2; exit 1')
    none = quick("crontab", "import", code=4).stderr
    assert "you have no crontab" in none
    assert "flowctl crontab import FILE" in none
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no program crontab on this machine" in quick("crontab", "import", code=4).stderr


def test_an_empty_crontab_and_an_empty_file_are_no_fault(quick, crontab) -> None:
    crontab.text = ""
    assert [] == quick("crontab", "import", "--apply", "--json").json
    assert "the crontab is empty" in quick("crontab", "import").stderr
    assert ("", "[]") == (quick("crontab", "export").stdout, quick("crontab", "export", "--json").stdout.strip())


def test_text_of_a_crontab_cannot_steer_the_terminal(quick, crontab) -> None:
    crontab.text = "# \x1b[2Jbye\nX=\x9b31m\n0 0 * * * echo \x1b]0;title\x07\n\x1b[31m bad\n"
    for words in (["import"], ["import", "--json"], ["import", "--apply"], ["export"]):
        said = quick("crontab", *words)
        assert not {"\x1b", "\x9b", "\x07"} & set(said.stdout + said.stderr)
    [row] = quick("crontab", "export", "--json").json
    assert ("refused", "it holds characters that steer a terminal, and cannot be printed") == (
        row["outcome"], row["reason"],
    )  # fmt: skip


@settings(max_examples=60)
@given(
    lines=st.lists(
        st.one_of(
            st.text(st.characters(codec="utf-8"), max_size=30),
            st.builds(
                " ".join,
                st.lists(
                    st.sampled_from(
                        ["*", "*/5", "1-5", "0", "@daily", "@reboot", "A=b", "SHELL=", "run", "%", "\\%", "-"]
                    ),
                    max_size=8,
                ),
            ),
        ),
        max_size=12,
    )
)
def test_m03_any_text_is_accounted_for_line_by_line(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    text = "\n".join(lines)
    read = read_crontab(text, system=False)
    now = SystemClock().now()
    with Store.open(tmp_path_factory.mktemp("m03") / "f.db") as store:
        scope = Scope("default", "/home/ada", frozenset(), known=True)
        rows = carry_out(store, read, scope, now)
        assert [line.line for line in read] == [row.line.line for row in rows]
        wanted = [row.wish.schedule.name for row in rows if row.wish is not None]
        assert sorted(wanted) == [each.name for each in store.schedules.all("default")]
        again = plan(store, read, scope)
        assert {"same"} >= {row.wish.action for row in again if row.wish is not None}
