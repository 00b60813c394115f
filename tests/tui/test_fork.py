"""Fork: the recorded JSON is edited in place or in the editor, checked, and a new run goes on with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.core.listing import RunFilter
from flowctl.core.model import Run, Step
from flowctl.store import Store
from flowctl.tui.app import FlowctlApp
from flowctl.tui.screens.fork import ForkForm
from tests.tui.conftest import on_screen, sees, until

Edit = Callable[[Any], None]


def fork_of(db: str, number: int) -> tuple[Run, dict[str, Step]]:
    """Return a run, and its steps by key."""
    with Store.open(db, create=False, read_only=True) as store:
        return store.runs.get(number), {step.key: step for step in store.steps.of_run(number)}


async def retype(pilot: Pilot[Any], edit: Edit) -> None:
    """Replace the JSON on the screen by what a function makes of it."""
    await until(pilot, lambda: [area.text for area in pilot.app.screen.query("#document")])
    area = pilot.app.screen.query_one("#document")
    document = json.loads(area.text)
    edit(document)
    area.load_text(json.dumps(document, indent=2))
    await pilot.pause()


async def opened(pilot: Pilot[Any], number: int) -> None:
    """Wait until a run is open."""
    await until(pilot, lambda: getattr(pilot.app.screen, "number", None) == number)


def test_a_run_is_forked_from_the_beginning_with_another_input(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("j", "f")
        await sees(pilot, "Fork run 2, from the beginning", '"page": 7', "flowctl fork 2 --detach")
        await retype(pilot, lambda document: document["input"].update(page=11))
        await sees(pilot, "flowctl fork 2 --edited - --detach")
        await pilot.press("ctrl+s")
        await opened(pilot, 4)

    on_screen(db, journey)
    run, _ = fork_of(db, 4)
    assert (2, {"page": 11}, "queued") == (run.forked_from, json.loads(run.input), run.state)


def test_json_is_checked_while_it_is_typed_and_nothing_starts_before_it_is_right(
    db: str, shop: Callable[..., str]
) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("f")
        await sees(pilot, '"by": 0')
        await pilot.press("x")
        await sees(pilot, "the edited JSON is not JSON", "line 1 column 1")
        await pilot.press("ctrl+s")
        await pilot.press("backspace")
        await until(pilot, lambda: not str(pilot.app.screen.query_one("#wrong").content))
        await pilot.press("escape")
        await sees(pilot, "3 runs")

    on_screen(db, journey)
    with Store.open(db, create=False, read_only=True) as store:
        assert 3 == max(run.id for run in store.runs.find(RunFilter()))


def test_an_input_that_does_not_fit_the_parameters_is_refused_where_it_was_typed(
    db: str, shop: Callable[..., str]
) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("f")
        await retype(pilot, lambda document: document["input"].update(by="many"))
        await pilot.press("ctrl+s")
        await sees(pilot, "by", '"many"', "! ")
        await until(pilot, lambda: pilot.app.screen.query_one("#wrong").has_class("refused"))
        await until(pilot, lambda: "sending" not in str(pilot.app.screen.query_one("#wrong").content))
        assert isinstance(pilot.app.screen, ForkForm)

    on_screen(db, journey)


def test_a_step_may_be_answered_for_by_stdin_with_earlier_outputs_edited_or_not(
    db: str, shop: Callable[..., str]
) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        for edited, number in ((False, 4), (True, 5)):
            pilot.app.push_screen(ForkForm(1, "total"))
            await sees(pilot, "Fork run 1, before step total", '"fetch"')
            if edited:
                await retype(pilot, lambda document: document["steps"]["fetch"]["output"]["items"].clear())
            await pilot.press("tab", *"[1]", "enter")
            await opened(pilot, number)
            assert ("--edited -" if edited else "--output -") in pilot.app.last_command

    on_screen(db, journey)
    for number, items in ((4, 2), (5, 0)):
        run, steps = fork_of(db, number)
        assert (1, "total", "[1]") == (run.forked_from, run.forked_step, steps["total"].output)
        assert items == len(json.loads(steps["fetch"].output or "")["items"])


def test_the_code_of_the_run_may_be_kept(db: str, shop: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "flows.py").unlink()

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("f", "ctrl+s")
        await sees(pilot, "flows.py")
        await until(pilot, lambda: "gone" in str(pilot.app.screen.query_one("#wrong").content))
        await pilot.press("tab", "space")
        await sees(pilot, "[x] with the code that the run has", "--same-code")
        await pilot.press("ctrl+s")
        await opened(pilot, 4)

    on_screen(db, journey)
    assert fork_of(db, 3)[0].code == fork_of(db, 4)[0].code


def test_the_json_opens_in_the_editor(
    db: str, shop: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edit.sh").write_text('sed -i s/7/13/ "$1"\n')
    monkeypatch.setattr(FlowctlApp, "suspend", lambda _: nullcontext())
    monkeypatch.setenv("VISUAL", "")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("j", "f")
        await sees(pilot, '"page": 7')
        monkeypatch.setenv("EDITOR", "")
        await pilot.press("ctrl+e")
        await sees(pilot, "no editor is chosen", "export EDITOR=nano")
        monkeypatch.setenv("EDITOR", f"sh {tmp_path / 'edit.sh'}")
        await pilot.press("ctrl+e")
        await sees(pilot, '"page": 13')
        await pilot.press("ctrl+s")
        await opened(pilot, 4)

    on_screen(db, journey)
    assert '{"page":13}' == fork_of(db, 4)[0].input


def test_json_that_is_too_long_for_the_screen_is_for_the_editor(
    db: str, shop: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flows.py").write_text(
        "from flowctl import workflow\n\n@workflow\ndef long(text: str) -> int:\n    return len(text)\n"
    )
    (tmp_path / "text").write_text("y" * 300_000)
    shop("run", "flows.py", "text=@text", "-q")
    (tmp_path / "edit.sh").write_text('echo \'{"input": {"text": "short"}}\' > "$1"\n')
    monkeypatch.setattr(FlowctlApp, "suspend", lambda _: nullcontext())
    monkeypatch.setenv("VISUAL", f"sh {tmp_path / 'edit.sh'}")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "4 runs")
        await pilot.press("f")
        await sees(pilot, "characters of JSON are too many for this place")
        await pilot.press("ctrl+e")
        await sees(pilot, "short")
        await pilot.press("ctrl+s")
        await opened(pilot, 5)

    on_screen(db, journey)
    assert '{"text":"short"}' == fork_of(db, 5)[0].input
