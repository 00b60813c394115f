"""N11, N12: whatever a run says, it cannot command the terminal that shows it."""

from __future__ import annotations

import json
import re

import pytest

from flowctl.core.model import Claim, NewEngine, NewRun, NewStep, Snapshot, code_of
from flowctl.store import Store

HOSTILE = (
    "\x1b]52;c;aGk=\x07\x1b]0;owned\x07\x1b[2J\x9b2J\x9d8;;x\x9c\x90q\u202egnp.exe\u2066\0\rgone"
    "[/foo][link=x]y[@click=app.quit]z\x7f"
)

WORKFLOW = f"""
from flowctl import step, workflow
import logging, sys

H = {HOSTILE!r}

@step
def shout(text: str) -> str:
    print("printed " + H)
    print("complained " + H, file=sys.stderr)
    logging.getLogger("x").warning("logged " + H)
    return text

@step(retries=1, backoff="1ms")
def bad() -> None:
    raise ValueError("raised " + H)

@workflow
def hostile(text: str = H) -> str:
    \"\"\"Doc {HOSTILE.encode("unicode_escape").decode()}\"\"\"
    shout(text)
    try:
        bad()
    except Exception:
        pass
    return "returned " + H

@workflow
def fails(text: str = H) -> str:
    raise RuntimeError("failed " + H)
"""

# What a terminal obeys. Escape sequences of our own are taken away first, by exact form.
OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\x1b\[\?[0-9]+[lh]")
VISIBLE = r"\x1b]52;c;aGk=\x07"
LITERAL = "[/foo][link=x]y[@click=app.quit]z"

COMMANDS = [
    ["ls"], ["show", "1"], ["show", "2"], ["show", "3"], ["show", "1", "1"], ["show", "1", "2"], ["show", "3", "1"],
    ["logs", "1"], ["logs", "3"], ["wait", "1", "2", "3"], ["workflows", "list"], ["workflows", "show", "hostile"],
    ["ls", "--color", "always"], ["show", "1", "--all", "--color", "always"], ["show", "3", "--color", "always"],
    ["cancel", "1", "3"],
]  # fmt: skip


@pytest.fixture
def hostile(quick, tmp_path):
    (tmp_path / "hostile.py").write_text(WORKFLOW)
    said = [quick("run", "hostile.py:hostile"), quick("run", "hostile.py:fails", code=1)]
    quick("workflows", "add", "hostile.py")
    plant(quick("db", "path").stdout.strip())
    return said


def plant(database: str) -> None:
    """Put names into the file that flowctl would refuse: run 3 was not made by it."""
    error = json.dumps({"type": f"Type {HOSTILE}", "message": f"raised {HOSTILE}", "traceback": f"trace {HOSTILE}"})
    text = json.dumps(HOSTILE)
    new = NewRun(
        workflow=f"flow {HOSTILE}", path="", function="", code=code_of("", {}), directory="/", input=text,
        input_hash=b"x" * 16, key=f"key {HOSTILE}", queue=f"queue {HOSTILE}", tags={f"tag {HOSTILE}": HOSTILE},
    )  # fmt: skip
    with Store.open(database) as store, store.transaction():
        store.snapshots.put(Snapshot(code_of("", {}), "", {}), 1)
        number, _ = store.runs.create(new, 1)
        run = store.runs.claim(number, store.engines.start(NewEngine("token", "foreground", 1, "boot"), 1), 2)
        claim = Claim(number, run.epoch)
        for seq, name in enumerate(("good", "bad"), 1):
            step = NewStep(seq, f"{name} {HOSTILE}", f"{name} {HOSTILE}", "step", text, b"x" * 16)
            store.steps.begin(claim, step, 3)
        store.steps.succeed(claim, f"good {HOSTILE}", text, 4)
        store.steps.fail(claim, f"bad {HOSTILE}", error, 4)
        store.logs.append(number, f"good {HOSTILE}", 1, 5, "log", f"LEVEL {HOSTILE}", HOSTILE)
        store.runs.release(claim, 6, "blocked", reason=f"reason {HOSTILE}")


def assert_harmless(text: str) -> None:
    bad = OBEYED.findall(OURS.sub("", text))
    assert [] == bad, repr(text)


def test_n11_n12_progress_is_harmless(hostile) -> None:
    for said in hostile:
        assert_harmless(said.stdout)
        assert_harmless(said.stderr)
        assert VISIBLE in said.stderr
        assert LITERAL in said.stderr
    assert f"returned {HOSTILE}" == hostile[0].json


def test_n11_n12_every_command_is_harmless(hostile, quick) -> None:
    for command in COMMANDS:
        said = quick(*command, code=None)
        assert_harmless(said.stdout)
        assert_harmless(said.stderr)
        assert re.search(r"\\(x1b|u001b)\]52;c;aGk=", OURS.sub("", said.stdout + said.stderr)), command
        assert LITERAL in said.stdout + said.stderr or command == ["workflows", "list"], command


def test_n11_json_has_the_very_text_and_no_character_that_is_obeyed(hostile, quick) -> None:
    for command in (["show", "1"], ["show", "3"], ["ls"], ["workflows", "list"], ["show", "1", "1"], ["wait", "3"]):
        said = quick(*command, "--json", code=None)
        assert_harmless(said.stdout)
        assert said.json
    run = quick("show", "1", "--json").json
    assert (f"returned {HOSTILE}", HOSTILE) == (run["output"], run["input"]["text"])
    assert f"raised {HOSTILE}" == run["steps"][1]["error"]["message"]
    run = quick("show", "3", "--json").json
    assert (f"flow {HOSTILE}", f"key {HOSTILE}", f"reason {HOSTILE}") == (run["workflow"], run["key"], run["reason"])
    assert {f"tag {HOSTILE}": HOSTILE} == run["tags"]
    assert [f"good {HOSTILE}", f"bad {HOSTILE}"] == [step["key"] for step in run["steps"]]
    for number in "13":
        for line in quick("logs", number, "--json").stdout.splitlines():
            assert_harmless(line)
            assert json.loads(line)["text"].count("owned") == 1


def test_n11_n12_a_terminal_is_not_commanded(hostile, on_terminal) -> None:
    for command in (["ls"], ["show", "1"], ["show", "3"], ["show", "3", "2"], ["logs", "3"], ["show", "3", "--json"]):
        with on_terminal(*command, size=(40, 200)) as screen:
            assert_harmless(screen.read_to_end().replace("\r\n", "\n"))


def test_n11_n12_the_live_tree_is_harmless(hostile, on_terminal) -> None:
    for target in ("hostile.py:hostile", "hostile.py:fails"):
        with on_terminal("run", target, size=(40, 200)) as screen:
            text = screen.read_to_end().replace("\r\n", "\n").replace("\r", "")
        assert_harmless(text)
        assert VISIBLE in OURS.sub("", text)


def test_n11_messages_about_what_a_person_typed_are_harmless(quick) -> None:
    for words in (
        ["show", "\x1b[2J"],
        ["run", "\x1b[2J"],
        ["\x1b[2J"],
        ["run", "x.py", "\x1b[2J"],
        ["ls", "--tag", "\x1b"],
    ):
        said = quick(*words, code=None)
        assert_harmless(said.stderr)
        said = quick("--json", *words, code=None)
        assert_harmless(said.stdout)
        assert said.json["error"]["code"] == said.code
