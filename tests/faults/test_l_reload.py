"""Hot reload: the daemon takes up edited files once they hold, and never under a run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowctl.core.config import default_database
from flowctl.core.model import Workflow
from flowctl.engine.daemon_lock import running_daemon
from tests.conftest import FLOWCTL
from tests.faults.conftest import Bench

EDITION = """
@step
def say() -> str:
    return "{word}"

@workflow
def edition() -> str:
    note("begun")
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return say()
"""


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Leave no daemon behind."""
    yield
    facts = running_daemon(default_database(os.environ))
    if facts is not None:
        os.kill(facts.pid, signal.SIGCONT)
        subprocess.run([*FLOWCTL, "daemon", "stop", "--now"], capture_output=True, timeout=60, check=False)


@pytest.fixture
def registered(bench: Bench, tmp_path: Path) -> Callable[[str], None]:
    """Register the workflow with a schedule, start the daemon, and return what edits the file."""

    def edit(source: str) -> None:
        path = bench.write("next.py", source)
        os.replace(path, tmp_path / "edition.py")

    (tmp_path / "go").touch()
    edit(EDITION.format(word="first"))
    bench.flowctl("workflows", "add", "edition.py")
    bench.flowctl("schedules", "add", "daily", "--workflow", "edition", "--every", "1d", "--overlap", "allow")
    bench.flowctl("daemon", "start")
    return edit


def workflow(bench: Bench) -> Workflow:
    with bench.store() as store:
        found = store.workflows.find("default", "edition")
    assert found is not None
    return found


def kept(bench: Bench) -> str:
    """Wait until an edit was refused, and return why."""
    return str(bench.wait_for(lambda: workflow(bench).kept_because))


def lines(bench: Bench) -> list[str]:
    with bench.store() as store:
        return [event.reason or "" for event in store.events.of_subject("workflow edition")]


def logged(bench: Bench, count: int) -> list[str]:
    """Wait until the daemon's log has so many lines about the workflow, and return them without their times."""

    def found() -> list[str]:
        said = bench.flowctl("daemon", "logs").stdout.splitlines()
        return [line[line.index("workflow edition") :] for line in said if "workflow edition" in line]

    bench.wait_for(lambda: len(found()) >= count)
    return found()


def triggered(bench: Bench) -> int:
    return int(bench.flowctl("schedules", "trigger", "daily", "--json").json["run"])


def taken_up(bench: Bench, count: int = 1) -> None:
    bench.wait_for(lambda: len([line for line in lines(bench) if line.startswith("reloaded")]) >= count)


def test_an_edited_file_is_used_for_new_runs(bench: Bench, registered: Callable[[str], None]) -> None:
    assert '"first"' == bench.in_state("succeeded", triggered(bench)).output
    registered(EDITION.format(word="second"))
    taken_up(bench)
    assert '"second"' == bench.in_state("succeeded", triggered(bench)).output
    assert workflow(bench).kept_because is None


def test_l13_a_run_that_runs_keeps_its_code(bench: Bench, registered: Callable[[str], None], tmp_path: Path) -> None:
    (tmp_path / "go").unlink()
    number = triggered(bench)
    before = bench.in_state("running", number)
    bench.wait_for(lambda: "begun" in bench.ledger())
    registered(EDITION.format(word="second"))
    taken_up(bench)
    (tmp_path / "go").touch()
    after = bench.in_state("succeeded", number)
    assert (before.code, '"first"') == (after.code, after.output)
    assert before.code != workflow(bench).code


def test_a_broken_edit_keeps_the_last_good_version_and_says_so(
    bench: Bench, registered: Callable[[str], None], tmp_path: Path
) -> None:
    good = workflow(bench).code
    registered("def broken(:\n")
    why = kept(bench)
    assert good == workflow(bench).code
    assert "edition.py" in why
    assert "SyntaxError" in why
    assert why == bench.flowctl("workflows", "show", "edition", "--json").json["kept_because"]
    assert ["registered", f"keeps its last good version: {why}"] == lines(bench)
    assert "keeps its last good version" in bench.flowctl("workflows", "list").stderr
    assert "keeps its last good version" in bench.flowctl("why", "daily").stdout
    assert '"first"' == bench.in_state("succeeded", triggered(bench)).output
    assert [f"workflow edition keeps its last good version: {why}"] == logged(bench, 1)
    registered(EDITION.format(word="mended"))
    taken_up(bench)
    assert f"workflow edition reloaded: {tmp_path}/edition.py was edited" == logged(bench, 2)[1]
    assert '"mended"' == bench.in_state("succeeded", triggered(bench)).output
    assert workflow(bench).kept_because is None


def test_an_edit_is_refused_that_takes_the_function_away(bench: Bench, registered: Callable[[str], None]) -> None:
    registered("@workflow\ndef other() -> None:\n    pass\n")
    assert "defines no workflow edition" in kept(bench)


def test_a_trigger_takes_up_an_edit_when_no_daemon_has(bench: Bench, registered: Callable[[str], None]) -> None:
    bench.flowctl("daemon", "stop")
    registered(EDITION.format(word="second"))
    number = triggered(bench)
    registered("1 / 0\n")
    said = bench.flowctl("schedules", "trigger", "daily")
    assert "edition keeps its last good version" in said.stderr
    assert "ZeroDivisionError" in said.stderr
    bench.flowctl("daemon", "start")
    assert '"second"' == bench.in_state("succeeded", number).output
    assert '"second"' == bench.in_state("succeeded", int(said.stdout)).output


def test_a_broken_edit_that_is_undone_is_good_again(bench: Bench, registered: Callable[[str], None]) -> None:
    registered("1 / 0\n")
    kept(bench)
    registered(EDITION.format(word="first"))
    bench.wait_for(lambda: workflow(bench).kept_because is None)
    assert "its file holds the registered version again" == lines(bench)[-1]


def test_a_module_that_an_edit_needs_may_come_later(
    bench: Bench, registered: Callable[[str], None], tmp_path: Path
) -> None:
    registered("import words\n" + EDITION.format(word="later"))
    kept(bench)
    (tmp_path / "words.py").write_text("")
    taken_up(bench)
    assert '"later"' == bench.in_state("succeeded", triggered(bench)).output


def test_n20_a_file_that_others_can_write_is_not_taken_up(
    bench: Bench, registered: Callable[[str], None], tmp_path: Path
) -> None:
    path = tmp_path / "edition.py"
    path.chmod(0o666)
    path.write_text(path.read_text().replace('"first"', '"planted"'))
    assert f"every user can write {path}" in kept(bench)
    assert '"first"' == bench.in_state("succeeded", triggered(bench)).output
    path.chmod(0o600)
    os.utime(path)
    taken_up(bench)


def test_n20_a_folder_that_others_can_write_is_not_trusted(
    bench: Bench, registered: Callable[[str], None], tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    try:
        registered(EDITION.format(word="planted"))
        assert f"every user can write the folder {tmp_path}" in kept(bench)
    finally:
        tmp_path.chmod(0o700)
