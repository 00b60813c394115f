"""L10: whatever an executor says, its run ends or stops in a sentence, and nobody else notices."""

from __future__ import annotations

import io
import json
import shutil
import struct
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from flowctl.cli.lines import LineNarrator
from flowctl.cli.terminal import Terminal
from flowctl.core.model import NewRun, Run, Snapshot, code_of
from flowctl.engine import commands, families
from flowctl.engine import engine as engine_module
from flowctl.engine.claiming import Role
from flowctl.engine.engine import Engine
from flowctl.engine.following import SETTLED
from flowctl.engine.shapes import require_shape
from flowctl.sdk.wire import FRAME_LIMIT, FrameReader, Message, WireError, encode_frame
from flowctl.store import Store, connection
from tests.conftest import Outcome
from tests.fuzz.conftest import tries
from tests.fuzz.hostile import JSON, TEXTS, assert_harmless
from tests.fuzz.puppets import BAD, GOOD, HASH, SILENCE, TOKEN, PuppetTheatre, step
from tests.fuzz.test_fuzz_command_line import check_answer
from tests.store.scene import dump, error

PATIENCE = 40  # polls without a sound, after which a person cancels
MOST_EXECUTORS = 25  # for one run: more would be a circle

LOADED = Message("loaded", {"path": BAD, "workflows": []})
ENDED = Message("ended", {"state": "succeeded"}, '"forged"')
DONE = Message("done", {"key": "one", "state": "succeeded"}, "1")
GOOD_MESSAGES = (
    LOADED, step("one"), DONE, ENDED, step("two", 2), Message("done", {"key": "two", "state": "succeeded"}, "2"),
    Message("hello", {"wire": 1, "pid": 1, "python": "3.11"}), Message("source", {"path": BAD}, "x = 1\n"),
    Message("load_failed", {"file": BAD, "line": 3}, error()),
    Message("bound", {"input_hash": HASH}, "{}"), Message("rejected", {"message": "no", "hint": ""}),
    step("pure", 3, options={"pure": True}), step("now", 4, "value"), step("nap", 3, "sleep", duration_ms=1),
    step("long", 3, "sleep", duration_ms=86_400_000), step("until", 3, "sleep", until=5),
    step("kid", 3, "child", path=GOOD, function="f", workflow="f", workflow_options={"attempts": 2}),
    step("flaky", 3, options={"retries": 2, "backoff_ms": 1, "timeout_ms": 50, "on_crash": "rerun"}),
    step("block", 3, options={"on_crash": "block"}), step("sh", 3, "shell", source=HASH),
    Message("done", {"key": "one", "state": "failed", "retry": False}, error()),
    Message("done", {"key": "flaky", "state": "failed", "retry": True, "retry_after_ms": 1}, error()),
    Message("done", {"key": "never asked", "state": "succeeded"}, "1"),
    Message("log", {"step": "one", "attempt": 1, "at": 1_700_000_000_000, "stream": "stdout", "level": None}, "hi\n"),
    Message("log", {"step": None, "attempt": None, "stream": "log", "level": "INFO"}, "\x1b[2J\n"),
    Message("secret", {"name": "TOKEN"}), Message("mask", {"value": "hidden", "sensitive": False}),
    Message("ended", {"state": "failed", "failed_steps": ["one"]}, error()),
    Message("ended", {"state": "cancelled"}), Message("ended", {"state": "suspended"}),
    Message("ended", {"state": "mismatch", "seq": 1, "key": "one", "what": "input", "expected": "one"}, "{}"),
    Message("ended", {"state": "mismatch", "seq": 1, "key": "one", "what": "workflow", "message": "gone"}, "null"),
)  # fmt: skip


HURRIED = Role(poll_s=0.001)
OPTIONS = (
    "retries",
    "backoff_ms",
    "max_backoff_ms",
    "jitter",
    "timeout_ms",
    "on_crash",
    "attempts",
    "tags",
    "on_failure",
)


@st.composite
def _spoilt(draw: st.DrawFn) -> Message:
    """Return a message with a field, the kind or the payload replaced, or a field taken away."""
    kind, fields, payload = draw(st.sampled_from(GOOD_MESSAGES))
    fields = dict(fields)
    match draw(st.sampled_from(["field", "field", "field", "inner", "lost", "kind", "payload", "all"])):
        case "field" if fields:
            fields[draw(st.sampled_from(sorted(fields)))] = draw(JSON)
        case "inner":
            name = draw(st.sampled_from(["options", "workflow_options"]))
            fields[name] = {draw(st.sampled_from(OPTIONS)): draw(JSON)}
        case "lost" if fields:
            del fields[draw(st.sampled_from(sorted(fields)))]
        case "kind":
            kind = draw(st.sampled_from([each.kind for each in GOOD_MESSAGES]) | TEXTS)
        case "payload":
            payload = draw(st.none() | TEXTS.map(_unicode))
        case _:
            fields = {name: draw(JSON) for name in fields}
    return Message(kind, fields, payload)


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _frame(messages: list[Message], token: bytes = TOKEN) -> bytes:
    return encode_frame(token.decode(), messages)


def _raw(head: bytes, tail: bytes = b"") -> bytes:
    return struct.pack(">II", 4 + len(head) + len(tail), len(head)) + head + tail


BROKEN_FRAMES = (
    b"", b"\0" * 8, b"\xff" * 64, struct.pack(">II", FRAME_LIMIT, 8), struct.pack(">II", FRAME_LIMIT + 1, 8),
    struct.pack(">II", 4, 0), struct.pack(">II", 3, 0), _frame([ENDED], b"0" * 16), _frame([ENDED])[:-1],
    _raw(b"[" * 100_000), _raw(b'["' + TOKEN + b'",' + b"[" * 100_000), _raw(b'["' + TOKEN + b'",[["ended",{},-3]]]'),
    _raw(b'["' + TOKEN + b'",[["ended",{"state":"succeeded"},"x"]]]'), _raw(b'["' + TOKEN + b'",{}]'),
    _raw(b'["' + TOKEN + b'",[["ended",{"state":"failed","state":"succeeded"},6]]]', b'"done"'),
    _raw(b'["' + TOKEN + b'",[["ended",null,null]]]'), _raw(b'["' + TOKEN + b'",[[[],{},null]]]'),
    _raw(b'["' + TOKEN + b'",[["done",{"key":"one","state":"succeeded"},2]]]', b"\xff\xfe"),
    _raw(b'["' + TOKEN + b'",[["log",{"stream":"log","at":' + b"9" * 5000 + b"},null]]]"),
    _raw(b'"' + TOKEN + b'"'), _raw(b'{"' + TOKEN + b'":1,"abc":2}'), _raw(b"null"), _raw(b"\xef\xbb\xbf[]"),
)  # fmt: skip


def _frames() -> SearchStrategy[bytes]:
    messages = st.sampled_from(GOOD_MESSAGES) | _spoilt()
    return st.one_of(
        st.lists(messages, min_size=1, max_size=3).map(_frame),
        st.lists(messages, min_size=1, max_size=3).map(_frame),
        st.sampled_from(BROKEN_FRAMES),
        st.binary(max_size=40),
    )


@st.composite
def _scripts(draw: st.DrawFn) -> list[list[bytes]]:
    """Return what one executor after the other says; mostly it begins as it should, so that something is at stake."""
    honest = [LOADED, step("one"), DONE, ENDED]
    scripts = []
    for _ in range(draw(st.integers(1, 2))):
        beginning = honest[: draw(st.integers(0, 4))]
        rest = draw(st.lists(_frames(), max_size=5))
        scripts.append([*(_frame([message]) for message in beginning), *rest, *draw(st.sampled_from([[], [SILENCE]]))])
    return scripts


# -- the reader alone


@tries(250)
@given(st.lists(_frames(), max_size=4).map(b"".join), st.lists(st.integers(0, 500), max_size=3).map(sorted))
def test_l10_bytes_mean_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    whole, broken = _read([data])
    pieces, broken_too = _read([data[start:end] for start, end in pairwise([0, *cuts, len(data)])])
    assert (whole, broken) == (pieces[: len(whole)] if broken else pieces, broken_too)


def _read(pieces: list[bytes]) -> tuple[list[Message], bool]:
    """Return the messages before what is no frame, and whether there is such."""
    reader, messages = FrameReader(TOKEN.decode()), []
    try:
        for piece in pieces:
            messages += reader.feed(piece)
    except WireError:
        return messages, True
    return messages, False


@tries(250)
@given(_spoilt())
def test_l10_a_message_of_another_shape_is_refused_and_nothing_else_happens(message: Message) -> None:
    try:
        require_shape(message)
    except WireError:
        return
    assert message.kind in {each.kind for each in GOOD_MESSAGES}


def test_l10_every_message_that_executors_send_has_its_shape() -> None:
    for message in GOOD_MESSAGES:
        require_shape(message)


# -- a whole engine


class Stage:
    """A file with a family of three runs, of which one has a hostile executor, and two runs of other people."""

    def __init__(self, store: Store, scripts: list[list[bytes]]) -> None:
        self.store = store
        self.theatre = PuppetTheatre(scripts)
        self.said = io.StringIO()
        self.root = self._create(GOOD)
        self.victim = self._create(BAD, parent_id=self.root, parent_step="v", root_id=self.root)
        self.sibling = self._create(GOOD, parent_id=self.root, parent_step="s", root_id=self.root)

    def _create(self, path: str, **fields: Any) -> int:
        snapshot = Snapshot(code_of(path, {}), path, {})
        new = NewRun(
            workflow=Path(path).stem, path=path, function="f", code=snapshot.code, directory="/", input="{}",
            input_hash=bytes.fromhex(HASH), **fields,
        )  # fmt: skip
        return commands.submit(self.store, new, snapshot, 1_700_000_000_000)[0]

    def play(self) -> None:
        """Work on the family until it stands still, as `flowctl run` does."""
        narrator = LineNarrator(Terminal(color="never", quiet=False, plain=True), verbose=True)
        engine = Engine(
            self.store, self.theatre, observer=narrator.hear, on_idle=lambda: self._look(engine), role=HURRIED
        )
        with engine:
            engine.follow(self.root)
            engine.follow(self.victim)

    def _look(self, engine: Engine) -> None:
        assert self.theatre.started <= MOST_EXECUTORS, "it goes round in circles"
        if self.theatre.idle > PATIENCE:
            commands.cancel(self.store, self.victim, engine.clock.now())
            engine.look_for_runs()
            self.theatre.idle = 0

    def families_of_others(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of the runs that have nothing to do with this family. An event may be of no run."""
        rows = dump(self.store)
        return {
            table: [
                row for row in rows[table] if (row[0 if table in ("runs", "attempts") else 1] or self.root) < self.root
            ]
            for table in ("runs", "steps", "events", "logs", "attempts")
        }


@pytest.fixture
def template(tmp_path: Path, fleeting: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a finished run and a queued one, and engines in a hurry."""
    monkeypatch.setattr(engine_module, "TROUBLE_WAIT_S", 0.0)
    monkeypatch.setattr(families, "CANCEL_GRACE_S", 0.0)
    monkeypatch.setattr(connection, "MAX_LENGTH", 1 << 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWCTL_DB", str(tmp_path / "flow.db"))
    path = tmp_path / "template.db"
    with Store.open(path) as store:
        stage = Stage(store, [[]])
        with Engine(store, stage.theatre, role=HURRIED) as engine:
            engine.follow(stage.sibling)
        stage.theatre.close()
    return path


Perform = Callable[[list[list[bytes]]], Run]


@pytest.fixture
def perform(template: Path, monkeypatch: pytest.MonkeyPatch) -> Perform:
    """Play scripts against an engine and check all that holds for any; return how their run stands."""

    def play(scripts: list[list[bytes]]) -> Run:
        _copy(template)
        with Store.open(template.with_name("flow.db")) as store, monkeypatch.context() as patch:
            stage = Stage(store, scripts)
            others = stage.families_of_others()
            stderr = io.StringIO()
            patch.setattr("sys.stderr", stderr)
            stage.play()
            honest = [store.runs.get(number) for number in (stage.root, stage.sibling)]
            assert [("succeeded", '"fine"')] * 2 == [(run.state, run.output) for run in honest]
            assert others == stage.families_of_others()
            assert [] == store.check()
            run = store.runs.get(stage.victim)
        assert run.state in SETTLED
        assert_harmless(stderr.getvalue())
        for command in ("show", "logs"):
            assert 0 == check_answer([command, str(run.id)], monkeypatch, patience_s=60)
        return run

    return play


def _copy(template: Path) -> None:
    for old in template.parent.glob("flow.db*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copy(template, template.with_name("flow.db"))


def test_l10_an_engine_survives_every_executor_and_so_do_the_other_runs(perform: Perform) -> None:
    states: Counter[str] = Counter()

    @tries(150)
    @given(_scripts())
    def survive(scripts: list[list[bytes]]) -> None:
        states[perform(scripts).state] += 1

    survive()
    print(dict(states))
    assert {"succeeded", "failed", "blocked", "cancelled"} <= set(states)


# What broke the engine, or made it go round in circles, when it was first tried.
FOUND: dict[str, list[Message] | bytes] = {
    "a head nested too deeply": _raw(b'["' + TOKEN + b'",' + b"[" * 100_000),
    "a field of another type": [LOADED, Message("step", {**step("one").fields, "key": 5}, "{}")],
    "a field that is missing": [LOADED, Message("done", {"state": "succeeded"}, "1")],
    "an unknown option": [LOADED, step("one", options={"colour": "red"})],
    "an endless number": [LOADED, step("one", options={"timeout_ms": 10**400})],
    "a place that is taken": [LOADED, step("one"), step("two")],
    "a child with a timeout that is none": [
        LOADED,
        step("kid", 1, "child", path=GOOD, function="f", workflow="f", workflow_options={"timeout_ms": "soon"}),
    ],
    "a secret that is no text": [LOADED, Message("secret", {"name": "\ud800"})],
    "an error that is none": [LOADED, Message("ended", {"state": "failed"}, "[]")],
    "an end of another kind": [LOADED, Message("ended", {"state": "triumphant"})],
    "an end before the code is loaded": [ENDED],
    "an end while a step runs": [LOADED, step("one"), ENDED],
    "an end that nobody asked for": [LOADED, Message("ended", {"state": "suspended"})],
    "a step that has its outcome": [LOADED, step("one"), DONE, step("one"), ENDED],
    "a value larger than the file can hold": [LOADED, step("one"), DONE._replace(payload=f'"{"x" * (1 << 20)}"')],
}


@pytest.mark.parametrize("case", FOUND)
def test_l10_what_made_no_sense_ends_its_run_and_says_so(case: str, perform: Perform) -> None:
    said = FOUND[case]
    run = perform([[said] if isinstance(said, bytes) else [_frame([message]) for message in said]])
    text = f"{run.reason} {run.error}"
    assert run.state in ("failed", "blocked")
    assert "makes no sense" in text or "which no step may touch" in text


FORGING = """
from flowctl import step, workflow
from flowctl.sdk.runtime import active
from flowctl.sdk.wire import Message

@step
def forge(kind: str, fields: dict) -> None:
    active().channel.send(Message(kind, fields, "{}"))

@workflow
def forging(kind: str, fields: dict) -> str:
    forge(kind, fields)
    return "true result"
"""


def test_l10_user_code_that_uses_the_channel_of_the_sdk_ends_only_its_own_run(
    flowctl: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "forging.py").write_text(FORGING)
    forged = [
        ("step", {"seq": 1, "key": "x", "name": "x", "kind": "step", "input_hash": "zz"}),
        ("step", {"seq": 1, "key": "x", "name": "x", "kind": "step", "input_hash": HASH}),
        ("ended", {"state": "succeeded"}),
        ("log", {"step": None, "attempt": None, "stream": "stdout"}),
    ]
    lines = [json.dumps({"kind": kind, "fields": fields}) for kind, fields in forged]
    said = flowctl("run", "forging.py", "--each", "-", input="\n".join(lines), code=1)
    assert '"true result"\n' == said.stdout
    assert [1, 2, 3] == [run["run"] for run in flowctl("ls", "--state", "failed", "--json").json][::-1]
    assert 6 == said.stderr.count("ExecutorDied"), said.stderr  # the step's, and the run's
    assert flowctl("db", "check").stdout.rstrip().endswith("no damage found")
