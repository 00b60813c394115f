"""M01, M03, M05: whatever is typed, flowctl answers in a sentence with a documented exit code, soon."""

from __future__ import annotations

import gc
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from flowctl.cli.main import cli, main
from flowctl.store import Store
from tests.cli.conftest import GREETING
from tests.fuzz.conftest import tries
from tests.fuzz.hostile import TEXTS, assert_harmless
from tests.store.scene import Scene

DOCUMENTED = {0, 1, 2, 3, 4, 5, 6, 7, 8, 65, 70, 74, 77, 130}
CPU_LIMIT_S = 10.0  # by far: what is meant is that nothing takes for ever
PATIENCE_S = 0.5  # then ctrl-C, as for what waits until tomorrow
LINES = 25  # command lines of one example
EXAMPLES = 80  # of one group of commands
GLOBALS: list[list[str]] = [[], ["--json"], ["--db", "flow.db"], ["--quiet"], ["--color", "always"], ["--debug"]]
GOOD = {  # command lines that make sense, by group of commands
    "run exec init completion": (
        "run hello.py name=x times:=3", "run hello.py:hello --input {} --tag a=b", "init", "completion bash",
        "exec --detach --key k --in 1h -- true", "exec --name n --queue q --priority 3 --attempts 2 --timeout 1m true",
    ),
    "ls show logs": (
        "ls", "ls --state failed --limit 3", "ls --search fetch --tag team=x", "ls --workflow digest --since 2h",
        "show 1", "show 2 fetch", "show @failed --all", "logs 1", "logs 1 fetch --follow",
    ),
    "wait cancel pause": (
        "wait 1 2 --timeout 1s", "wait digest@last", "cancel 4 5 --yes", "cancel --state paused --yes", "pause 5",
    ),
    "resume retry rerun": (
        "resume 5 --detach", "resume --state paused --steal", "retry 4 --same-code --detach",
        "retry 2 --from fetch --accept", "rerun 4 --detach --same-code",
    ),
    "workflows db": (
        "workflows list", "workflows show digest", "workflows add hello.py --name n", "workflows remove digest --yes",
        "workflows check hello.py", "db path", "db status", "db check --full", "db migrate", "db backup copy.db",
    ),
}  # fmt: skip


def populate(scene: Scene) -> None:
    """Fill a file with runs that stand still in every way."""
    for state in ("succeeded", "failed", "cancelled"):
        claim = scene.held(tags={"team": "x"}, key=f"key {state}")
        scene.begin(claim, "fetch", 1)
        scene.succeed(claim, "fetch", '{"a":[1,2,3]}')
        log = partial(scene.store.logs.append, claim.run_id, "fetch", 1, scene.now, "stdout", None, "hi\n")
        scene.write(log)
        scene.finish(claim, state)
    blocked = scene.held(path="", function="", workflow="sh", input='{"argv":["true"]}')
    scene.begin(blocked, "fetch#2", 1)
    scene.write(lambda: scene.store.steps.interrupt(blocked, scene.now))
    scene.release(blocked, "blocked", reason="code changed")
    paused = scene.submit(path="", function="", workflow="sh", input='{"argv":["true"]}')
    scene.write(lambda: scene.store.runs.pause_idle(paused, scene.now, "paused by a person"))


def _leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _leaves(command, (*path, name))


def _pieces(command: click.Command) -> SearchStrategy[list[str]]:
    """Return an option of the command with a value, the same in one word, or a word."""
    options = [each for each in command.params if isinstance(each, click.Option)]
    flags = [name for each in options if each.is_flag for name in each.opts]
    valued = [name for each in options if not each.is_flag for name in each.opts]
    choices = [str(word) for each in options if isinstance(each.type, click.Choice) for word in each.type.choices]
    kinds: list[SearchStrategy[list[str]]] = [
        st.sampled_from([["1"], ["@last"], ["--"]]),
        TEXTS.map(lambda word: [word]),
    ]
    if flags:
        kinds.append(st.sampled_from(flags).map(lambda name: [name]))
    if valued:
        values = TEXTS | st.sampled_from(choices) if choices else TEXTS
        kinds.append(st.tuples(st.sampled_from(valued), values).map(list))
        kinds.append(st.tuples(st.sampled_from(valued), values).map(lambda pair: [f"{pair[0]}={pair[1]}"]))
    return st.one_of(kinds)


def _line(entry: tuple[tuple[str, ...], click.Command]) -> SearchStrategy[list[str]]:
    path, command = entry
    pieces = st.lists(_pieces(command), max_size=3).map(lambda parts: [word for part in parts for word in part])
    return st.builds(lambda before, after: [*before, *path, *after], st.sampled_from(GLOBALS), pieces)


@st.composite
def _spoilt(draw: st.DrawFn, good: Sequence[str]) -> list[str]:
    """Return a good command line with one or two words replaced, added or taken away."""
    words = [*draw(st.sampled_from(GLOBALS)), *draw(st.sampled_from(good)).split()]
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(1, len(words)))
        words[at : at + draw(st.integers(0, 1))] = draw(st.lists(TEXTS, max_size=1))
    return words


def _command_lines(group: str) -> SearchStrategy[list[str]]:
    members = [entry for entry in _leaves(cli) if entry[0][0] in group.split()]
    return st.one_of(_spoilt(GOOD[group]), st.sampled_from(members).flatmap(_line), st.lists(TEXTS, max_size=4))


class _NoProcess:
    """No process is started by what was made up."""

    def __init__(self, *_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")


@pytest.fixture
def here(tmp_path: Path, fleeting: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a database and some files, in which no process can be started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWCTL_DB", str(tmp_path / "flow.db"))
    monkeypatch.setattr(subprocess, "Popen", _NoProcess)
    (tmp_path / "hello.py").write_text(GREETING)
    (tmp_path / "plain.txt").write_bytes(b"\xff\x00\x1b[2J")
    with Store.open(tmp_path / "flow.db") as store:
        populate(Scene(store))
    shutil.copy(tmp_path / "flow.db", tmp_path / "template")
    return tmp_path


@contextmanager
def ctrl_c_after(seconds: float) -> Iterator[None]:
    """Press ctrl-C when it takes long, but not in a callback of the garbage collector, where an exception is lost.

    Nor in an import, which a process that goes on would have half of; then it is pressed a second later.
    """

    def press(_: int, frame: FrameType | None) -> None:
        if not _is_importing(frame):
            os.kill(os.getpid(), signal.SIGINT)

    gc.disable()
    before = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def called(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Call the command line in this process and return its exit code and what it wrote, however odd."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(3)]
    with monkeypatch.context() as patch:
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        code = main(words)
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode("utf-8", "surrogateescape") for stream in streams[1:])
    return code, out, err


def check_answer(
    words: list[str], monkeypatch: pytest.MonkeyPatch, *, internal: bool = False, patience_s: float = PATIENCE_S
) -> int:
    """Call the command line and check all that holds for any answer. Returns the exit code.

    With `internal` it may be that flowctl itself failed, if only it says so in a sentence.
    """
    began = time.process_time()
    try:
        with ctrl_c_after(patience_s):
            code, out, err = called(words, monkeypatch)
    except KeyboardInterrupt:  # it came when the command line had its answer already
        return 130
    took = time.process_time() - began
    assert code in DOCUMENTED, (words, code, err)
    assert "--debug" in words or "Traceback" not in err, (words, err)
    assert internal or "flowctl itself failed" not in err, (words, err)
    assert_harmless(out)
    assert_harmless(err)
    assert code == 0 or err or out, words
    assert took < CPU_LIMIT_S, (words, took)
    return code


def _restore(here: Path) -> None:
    for name in os.listdir(here):
        if name.startswith("flow.db"):
            path = here / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(here / "template", here / "flow.db")


@pytest.mark.parametrize("group", GOOD)
def test_m05_each_of_ten_thousand_command_lines_is_answered_in_a_sentence(
    group: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: Counter[int] = Counter()

    @tries(EXAMPLES)
    @given(st.lists(_command_lines(group), min_size=LINES, max_size=LINES))
    def answer(lines: list[list[str]]) -> None:
        for words in lines:
            before = _stamp(here)
            codes[check_answer(words, monkeypatch)] += 1
            if _stamp(here) != before:
                _restore(here)

    answer()
    print(f"{codes.total()} command lines: {dict(sorted(codes.items()))}")
    assert codes.total() * len(GOOD) >= 10_000
    assert {0, 2} <= set(codes)
    assert len(codes) > 2


def _stamp(here: Path) -> tuple[int, int]:
    try:
        found = os.stat(here / "flow.db")
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
