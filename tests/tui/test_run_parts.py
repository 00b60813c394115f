"""The parts of the run's screen that draw nothing: tree, timeline, frames of an error, source of a step, editors."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from flowctl.cli.editor import editor_call
from flowctl.core.listing import AttemptLine, StepLine
from flowctl.core.model import Snapshot
from flowctl.sdk.source import definitions, source_hash
from flowctl.tui.code import source_of
from flowctl.tui.run_tree import Place, RunSteps, Span, Tree, together
from flowctl.tui.timeline import Scale, line, ruler
from flowctl.tui.widgets.errors import Where, error_lines, last_own_frame
from flowctl.tui.widgets.lines import wrapped


def step(seq: int, begun: int, finished: int | None, **fields: Any) -> StepLine:
    usual: dict[str, Any] = {
        "seq": seq, "key": f"s{seq}", "name": "s", "kind": "step", "state": "succeeded" if finished else "running",
        "attempt": 1, "wake_at": None, "begun_at": begun, "started_at": begun, "finished_at": finished,
        "shared": False, "said_by": None, "progress": None,
    }  # fmt: skip
    return StepLine(**(usual | fields))


@pytest.mark.parametrize(
    ("times", "groups"),
    [
        ([(0, 5), (5, 9), (9, 12)], [1, 1, 1]),  # one after the other
        ([(0, 5), (0, 9), (1, 3)], [3]),
        ([(0, 5), (0, 9), (5, 7), (9, 12)], [3, 1]),  # the third waited for a place
        ([(0, 5), (5, None), (5, 9)], [1, 2]),  # branches that still go on
        ([(0, 2), (100, 110), (2, 5)], [1, 1, 1]),  # the second was retried, long after the third
    ],
)
def test_steps_that_ran_side_by_side_are_branches(times: list[tuple[int, int | None]], groups: list[int]) -> None:
    steps = [step(seq, *each) for seq, each in enumerate(times, 1)]
    assert groups == [len(group) for group in together(steps)]


def test_attempts_and_the_steps_of_a_child_run_are_below_their_step_once_unfolded() -> None:
    tree = Tree(7)
    failed = AttemptLine("s1", 1, "failed", 0, 2)
    own = RunSteps([step(1, 0, 9, attempt=2, started_at=5), step(2, 9, 12, kind="child")], {"s1": [failed]}, {"s2": 8})
    tree.runs = {7: own}
    assert [7] == tree.wanted
    assert ["run", "step", "step"] == [node.place.kind for node in tree.nodes()]
    tree.toggle(Place("step", 7, "s1"))
    tree.toggle(Place("step", 7, "s2"))
    assert [7, 8] == tree.wanted
    tree.runs[8] = RunSteps([step(1, 9, 11)], {}, {})
    rows = ["run 7 ", "step 7 s1", "attempt 7 s1", "attempt 7 s1", "step 7 s2", "step 8 s1"]
    assert rows == ["{} {} {}".format(*node.place) for node in tree.nodes()]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_laid_out_again_is_what_is_laid_out_anew(seed: int) -> None:
    random = Random(seed)
    tree, steps, attempts = Tree(7), [], {}
    for now in range(0, 300, 10):
        for at, each in enumerate(steps):
            if each.finished_at is None and random.random() < 0.5:
                steps[at] = each._replace(finished_at=now, state="succeeded")
        for _ in range(random.randrange(4)):
            seq = len(steps) + 1
            steps.append(step(seq, now, None, attempt=random.choice([1, 2])))
            attempts[f"s{seq}"] = [AttemptLine(f"s{seq}", 1, "failed", now, now)]
        if random.random() < 0.1:
            steps = [each._replace(attempt=1) for each in steps[: len(steps) // 2]]  # a retry set the others aside
            attempts = {key: tried for key, tried in attempts.items() if int(key[1:]) <= len(steps)}
        if steps and random.random() < 0.3:
            tree.toggle(random.choice(tree.nodes()).place)
        tree.runs = {7: RunSteps(list(steps), attempts, {"s3": 8}), 8: RunSteps([step(1, now, None)], {}, {})}
        anew = Tree(7)
        anew.runs = tree.runs
        anew._toggled = set(tree._toggled)
        assert anew.nodes() == tree.nodes()


def test_a_step_spends_its_time_in_attempts_and_in_waits_between_them() -> None:
    failed = AttemptLine("s1", 1, "failed", 0, 2)
    known = RunSteps([], {"s1": [failed]}, {})
    done = step(1, 0, 9, attempt=2, started_at=5)
    assert [Span(0, 2, "failed"), Span(2, 5, "retry"), Span(5, 9, "worked")] == known.spans(done)
    backing_off = step(1, 0, None, wake_at=20)
    assert [Span(0, 2, "failed"), Span(2, None, "retry")] == known.spans(backing_off)
    assert [Span(3, None, "slept")] == known.spans(step(2, 3, None, kind="sleep", wake_at=9))


def test_a_timeline_is_to_scale_and_differs_in_its_characters() -> None:
    spans = [Span(0, 20, "failed"), Span(20, 50, "retry"), Span(50, None, "worked")]
    drawn = line(spans, Scale(0, 100), 10, "green")
    assert "▓✗···█████" == "".join(text for text, _ in drawn)
    assert "    █     " == "".join(text for text, _ in line([Span(45, 45, "worked")], Scale(0, 100), 10, ""))
    assert "0                 5.0s          10.0s" == ruler(Scale(0, 10_000), 37)


TRACE = """Traceback (most recent call last):
  File "/home/ann/flows.py", line 12, in fetch
    return load(page)
  File "/usr/lib/python3.11/json/__init__.py", line 346, in loads
    return decode(s)
json.decoder.JSONDecodeError: Expecting value"""


def test_ones_own_frames_come_first_and_those_of_libraries_are_below() -> None:
    error = json.dumps({"type": "JSONDecodeError", "message": "Expecting \x1b[31m value", "traceback": TRACE})
    texts = [each.text.strip() for each in error_lines(error)]
    assert "JSONDecodeError: Expecting \\x1b[31m value" == texts[0]
    assert (
        texts.index("return load(page)")
        < texts.index("1 of flowctl and the libraries:")
        < texts.index("return decode(s)")
    )
    assert Where("/home/ann/flows.py", 12) == last_own_frame(error)
    assert ["not JSON"] == [each.text for each in error_lines("not JSON")]


SOURCE = """
def other():
    return 1

def fetch(page):
    return page

def flow():
    return fetch(1)
"""


def test_a_function_has_the_same_hash_in_a_text_as_where_it_was_loaded() -> None:
    found = {name: digest for name, _, digest in definitions(Path(__file__).read_text(encoding="utf-8"))}
    assert source_hash(step) == found["step"]


def test_the_source_of_a_step_is_found_by_its_hash_whatever_its_name_is() -> None:
    digest = next(digest for name, _, digest in definitions(SOURCE) if name == "fetch")
    snapshot = Snapshot("c", "/nowhere/flows.py", {"/nowhere/flows.py": SOURCE})

    class Known:
        source_hash: bytes | None = digest
        name = "renamed"
        function = "flow"

    found = source_of(snapshot, Known(), Known())  # type: ignore[arg-type]
    assert found is not None
    assert (range(5, 7), "not there now") == (found.lines, found.differs)
    workflow = source_of(snapshot, Known(), None)  # type: ignore[arg-type]
    assert workflow is not None
    assert range(8, 10) == workflow.lines
    assert source_of(Snapshot("c", "", {}), Known(), None) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("editor", "argv"),
    [
        (["vim"], ["vim", "+3", "a.py"]),
        (["/usr/bin/code", "--wait"], ["/usr/bin/code", "--wait", "--goto", "a.py:3"]),
        (["hx"], ["hx", "a.py:3"]),
        (["my-editor"], ["my-editor", "a.py"]),
    ],
)
def test_an_editor_is_told_the_line_in_its_own_way(editor: list[str], argv: list[str]) -> None:
    assert argv == editor_call(editor, "a.py", 3)


@pytest.mark.parametrize("text", ["", "a", "the quick brown fox jumps", "x" * 50, "日本語" * 20, "a 日本語 b" * 9])
def test_a_wrapped_line_loses_nothing_but_blanks_and_fits(text: str) -> None:
    from rich.cells import cell_len

    pieces = list(wrapped(text, 10))
    assert text.replace(" ", "") == "".join(pieces).replace(" ", "")
    assert all(cell_len(piece) <= 10 for piece in pieces)
