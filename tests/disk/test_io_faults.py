"""J02, J03: whichever write, sync, open or truncation fails, a change is made wholly or not at all, and said so."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import apsw
import pytest

import flowctl.store
from flowctl.cli.main import main
from flowctl.core.errors import DiskTrouble, FlowctlError
from flowctl.engine import commands, recovery
from flowctl.sdk import processes
from flowctl.store import Store, migrate, payloads
from flowctl.store.connection import Connection
from flowctl.store.queries import read_data
from tests.disk.before import SPILL_BYTES, FrozenClock
from tests.disk.faults import Disk, Fault, Operation, faulty_disk
from tests.disk.mutations import MUTATIONS, Mutation
from tests.disk.power import quickly
from tests.store.scene import Scene

SECOND = "ALTER TABLE workflows ADD COLUMN owner TEXT; CREATE TABLE owners (name TEXT PRIMARY KEY) STRICT;"
THIRD = "INSERT INTO owners VALUES ('me'); CREATE INDEX workflows_owner ON workflows (owner);"
SIDE_FILES = ("-wal", "-shm", "-journal")
State = dict[str, Any]
Change = Callable[[Store], object]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk that can be told to fail. The engines in the files are of this boot, and have no processes."""
    monkeypatch.setenv("FLOWCTL_TESTING", "1")
    monkeypatch.setenv("FLOWCTL_BOOT_ID", "boot")
    monkeypatch.setattr(processes, "kill_engine", lambda token: [])
    with faulty_disk() as faulty, quickly():
        yield faulty


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, to be copied."""
    made = tmp_path_factory.mktemp("fresh") / "flow.db"
    Store.open(made).close()
    return made


class Bench:
    """A folder that is made anew for each go, and what is looked at after it."""

    def __init__(self, disk: Disk, template: Path, folder: Path) -> None:
        self.disk = disk
        self._template = template
        self._folder = folder
        self.path = folder / "flow.db"

    def prepare(self) -> None:
        """Put everything back as it was before the change."""
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._template, self._folder)

    def go(self, change: Change) -> tuple[bool, int]:
        """Make the change as a command does. Tell whether it was reported as made, and where closing began."""
        made, closing = False, 0
        try:
            with Store.open(self.path) as store:
                change(store)
                made, closing = True, len(self.disk.done)
        except FlowctlError:
            pass
        except (
            SystemError
        ) as error:  # apsw's, when a VFS in Python fails while a backup is given up; SQLite's is silent
            if not isinstance(error.__cause__ or error.__context__, apsw.Error):
                raise
        return made, closing

    def state(self) -> State:
        """Return what is in the folder: every row but facts of the file itself, and the locks of engines."""
        found: State = {}
        for entry in sorted(os.scandir(self._folder), key=lambda entry: entry.name):
            if entry.is_dir():
                found[entry.name] = sorted(os.listdir(entry))
            elif not entry.name.endswith(SIDE_FILES) and ".before-" not in entry.name:
                connection = apsw.Connection(entry.path)
                found[entry.name] = _rows(connection)
                connection.close()
        return {name: content for name, content in found.items() if content}

    def check(self) -> None:
        """Refuse a file in which something is wrong."""
        if self.path.exists():
            with Store.open(self.path) as store:
                assert store.check() == []


def _rows(connection: apsw.Connection) -> State:
    """Return every row but those of `meta`, and but the note of a pruning: one that goes on leaves one more."""
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'meta'").fetchall()
    rows = {str(name): connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}
    return {
        name: sorted((row for row in found if not {"retention", "pruned"} & set(row)), key=repr)
        for name, found in rows.items()
    }


class Course(NamedTuple):
    """How a change goes on a good disk."""

    states: list[State]  # of the folder: before, after each commit, at the end
    operations: list[tuple[Operation, str]]
    committed: int  # how many operations there were when the last commit was acknowledged
    closing: int  # and when the file was closed


def _untroubled(bench: Bench, change: Change) -> Course:
    """Make the change on a good disk, and return what is to be expected on others."""
    bench.prepare()
    states, rows = [bench.state()], Connection.rows
    committed = 0

    def noted(connection: Connection, sql: str, *arguments: Any) -> Any:
        nonlocal committed
        found = rows(connection, sql, *arguments)
        if sql == "COMMIT":
            ours = connection.path == str(bench.path)
            state = {bench.path.name: _rows(connection.raw)} if ours else None
            if state != states[-1]:
                committed = len(bench.disk.done)
                if state is not None:
                    states.append(state)
        return found

    bench.disk.begin()
    with patch.object(Connection, "rows", noted):
        made, closing = bench.go(change)
    operations = list(bench.disk.done)
    assert made
    if (last := bench.state()) != states[-1]:
        states.append(last)
    return Course(states, operations, committed, closing)


def _faults(nth: int, operation: Operation) -> list[Fault]:
    for_good = apsw.FullError if operation == "write" else apsw.IOError
    return [Fault(nth, False, apsw.IOError), Fault(nth, True, for_good)]


def sweep(bench: Bench, change: Change, *, commits: int = 1, closing_too: bool = False) -> int:
    """Let each operation of a change fail in its turn, once and for good; return how many times something failed."""
    course = _untroubled(bench, change)
    assert len(course.states) == 1 + commits
    last, tried = course.states[-1], course.operations if closing_too else course.operations[: course.closing]
    faults = [fault for nth, (operation, _) in enumerate(tried, start=1) for fault in _faults(nth, operation)]
    for fault in faults:
        bench.prepare()
        bench.disk.begin(fault)
        made, _ = bench.go(change)
        bench.disk.lift()
        found, case = bench.state(), (fault, *course.operations[fault.nth - 1])
        assert (case, found in course.states) == (case, True)
        if made:
            assert (case, found) == (case, last)
        elif found == last:
            assert (case, _may_stand(course, fault)) == (case, True)
        bench.check()
        if found != last:
            assert (case, bench.go(change)[0]) == (case, True)
            assert (case, bench.state()) == (case, last)
    return len(faults)


def _may_stand(course: Course, fault: Fault) -> bool:
    """Tell whether a change may be found made although it was reported as failed.

    What failed came after it; or it was the sync of the commit itself, and nothing could be taken back in the log
    afterwards: then only who opens the file next learns whether it is there.
    """
    operation, name = course.operations[fault.nth - 1]
    return fault.nth > course.committed or (operation == "sync" and name.endswith("-wal") and fault.for_ever)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_j03_whatever_fails_a_change_is_made_wholly_or_not_at_all(
    disk: Disk, tmp_path: Path, fresh: Path, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "SPILL_BYTES", SPILL_BYTES)
    template = _template(tmp_path, fresh, mutation.before)

    bench = Bench(disk, template, tmp_path / "go")
    closing_too = mutation.name in ("submit", "recovery, then cancel")  # it goes the same way for all others
    assert sweep(bench, mutation.change, commits=mutation.commits, closing_too=closing_too) > 6


def test_j03_a_new_file_is_there_as_a_whole_or_not_at_all(disk: Disk, tmp_path: Path) -> None:
    bench = Bench(disk, _folder(tmp_path, "template"), tmp_path / "go")

    assert sweep(bench, lambda store: None) > 100


def test_j03_an_old_file_is_brought_up_to_date_migration_by_migration(
    disk: Disk, tmp_path: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = _template(tmp_path, fresh, Scene.submit)
    _two_more_migrations(monkeypatch)
    monkeypatch.setattr(migrate, "SYSTEM_CLOCK", FrozenClock())  # each try is to write down the same instant

    assert sweep(Bench(disk, template, tmp_path / "go"), lambda store: None, commits=2) > 100


def _two_more_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this flowctl a later release."""
    first = read_data("migrations/0001_create_core.sql")
    texts = {"migrations/0002.sql": SECOND, "migrations/0003.sql": THIRD}
    later = [
        migrate.Migration(version, f"000{version}.sql", migrate.fingerprint(migrate.objects_of(script)))
        for version, script in ((2, first + SECOND), (3, first + SECOND + THIRD))
    ]
    monkeypatch.setattr(migrate, "MIGRATIONS", (*migrate.MIGRATIONS[:1], *later))
    monkeypatch.setattr(migrate, "read_data", lambda name: texts.get(name) or read_data(name))
    monkeypatch.setattr(migrate, "schema_text", lambda: first + SECOND + THIRD)


def _template(tmp_path: Path, fresh: Path, before: Callable[[Scene], object], name: str = "template") -> Path:
    """Return a folder with a file that is made to be so."""
    folder = _folder(tmp_path, name)
    shutil.copy2(fresh, folder)
    with Store.open(folder / fresh.name) as store:
        before(Scene(store))
    return folder


def _folder(tmp_path: Path, name: str) -> Path:
    found = tmp_path / name
    found.mkdir(mode=0o700)
    return found


@pytest.mark.parametrize("words", [["exec", "--detach", "--", "true"], ["cancel", "1"], ["pause", "1"]], ids=" ".join)
def test_j03_the_command_line_says_in_a_sentence_that_the_disk_failed(
    disk: Disk,
    tmp_path: Path,
    fresh: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    template = _template(tmp_path, fresh, Scene.submit)
    _closing_succeeds(disk, monkeypatch)
    bench = Bench(disk, template, tmp_path / "go")
    line = ["--db", str(bench.path), *words]
    bench.prepare()
    disk.begin()
    assert main(line) == 0
    operations = list(disk.done)
    capsys.readouterr()

    codes = []
    for nth, (operation, _) in enumerate(operations, start=1):
        for fault in _faults(nth, operation):
            bench.prepare()
            disk.begin(fault)
            codes.append(main(line))
            disk.lift()
            said = capsys.readouterr()
            if codes[-1] == 0:  # it failed only after the last commit
                continue
            first, *hints = said.err.splitlines()
            assert (fault, first.startswith("flowctl: the disk "), said.out) == (fault, True, "")
            assert all(hint.startswith("  ") for hint in hints)
            assert "Traceback" not in said.err
            bench.check()
    assert set(codes) == {0, DiskTrouble.exit_code}
    assert codes.count(DiskTrouble.exit_code) > 10


def _closing_succeeds(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk work when a file is closed: SQLite's own VFS does not report what fails then, one in Python does."""
    close = Store.close

    def closed(store: Store) -> None:
        disk.lift()
        close(store)

    monkeypatch.setattr(Store, "close", closed)


# -- the table is complete ------------------------------------------------------------------------------------------


def test_j03_every_function_that_writes_is_in_the_table(disk: Disk, tmp_path: Path, fresh: Path) -> None:
    called: set[str] = set()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.add(frame.f_code.co_qualname)

    for number, mutation in enumerate(MUTATIONS):
        folder = _template(tmp_path, fresh, mutation.before, str(number))
        with Store.open(folder / fresh.name) as store:
            sys.setprofile(profile)
            try:
                mutation.change(store)
            finally:
                sys.setprofile(None)

    wanted = _methods_that_write() | _functions_of_a_store(commands) | _functions_of_a_store(recovery)
    assert len(wanted) > 40
    assert wanted - called == set()


def _functions_of_a_store(module: ModuleType) -> set[str]:
    """Return the public functions of a module that take a store to work on."""
    functions = [
        each for _, each in inspect.getmembers(module, inspect.isfunction) if each.__module__ == module.__name__
    ]
    public = [each for each in functions if not each.__name__.startswith("_")]
    return {each.__name__ for each in public if next(iter(inspect.signature(each).parameters)) == "store"}


def _methods_that_write() -> set[str]:
    """Return the public methods of the store's classes that write, by themselves or through others."""
    calls: dict[str, set[str]] = {}
    for source in Path(flowctl.store.__file__).parent.glob("*.py"):
        for kind in ast.walk(ast.parse(source.read_text())):
            if isinstance(kind, ast.ClassDef) and kind.name != "Connection":
                methods = [each for each in kind.body if isinstance(each, ast.FunctionDef)]
                calls |= {f"{kind.name}.{each.name}": _called_on_self(each) for each in methods}
    writing, known = {"write", "change"}, 0
    while known != len(writing):
        known = len(writing)
        writing |= {name.partition(".")[2] for name, called in calls.items() if called & writing}
    return {name for name, called in calls.items() if called & writing and not name.partition(".")[2].startswith("_")}


def _called_on_self(method: ast.FunctionDef) -> set[str]:
    """Return what a method calls on its object, or on what that one is made of: `x` of self.x(…) and self.y.x(…)."""
    return {
        node.func.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value).partition(".")[0] == "self"
    }
