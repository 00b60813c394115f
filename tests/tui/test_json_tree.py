"""A JSON value as a tree: pages, search, and what cannot be drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot

import flowctl.tui
from flowctl.tui.widgets.json_tree import PAGE, JsonTree
from tests.tui.conftest import seen


class Tree(App[None]):
    """Nothing but a tree."""

    CSS_PATH = Path(flowctl.tui.__file__).with_name("app.tcss")

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def compose(self) -> ComposeResult:
        yield JsonTree()

    def on_mount(self) -> None:
        tree = self.query_one(JsonTree)
        tree.show(self._value, ("input",))
        tree.focus()


def in_tree(value: Any, journey: Callable[[Pilot[Any], JsonTree], Awaitable[None]]) -> None:
    async def go() -> None:
        app = Tree(value)
        async with app.run_test(size=(80, 24)) as pilot:
            await journey(pilot, app.query_one(JsonTree))

    asyncio.run(go())


def test_a_small_value_is_unfolded_and_a_part_of_it_can_be_folded() -> None:
    async def journey(pilot: Pilot[Any], tree: JsonTree) -> None:
        assert 'name: "pen"' in seen(pilot.app)
        await pilot.press("j", "left")
        await pilot.pause()
        assert "items: [1 item]" in seen(pilot.app)
        assert "pen" not in seen(pilot.app)
        await pilot.press("right")
        await pilot.pause()
        assert "pen" in seen(pilot.app)

    in_tree({"items": [{"name": "pen"}], "empty": {}}, journey)


def test_a_list_of_100_000_comes_in_pages_whose_rows_are_made_when_they_are_unfolded() -> None:
    async def journey(pilot: Pilot[Any], tree: JsonTree) -> None:
        assert 1 + 100_000 // PAGE == len(tree.rows)
        assert f"[500 … {2 * PAGE - 1}]" in seen(pilot.app)
        await pilot.press("j", "j", "enter", "j")
        await pilot.pause()
        assert 1 + 100_000 // PAGE + PAGE == len(tree.rows)
        assert (500,) == tree.row.path

    in_tree(list(range(100_000)), journey)


def test_search_finds_keys_and_values_that_are_folded_away_and_goes_round() -> None:
    value = {"list": [{"n": n} for n in range(2_000)], "other": {"deep": {"Needle": 1}}}
    value["list"][1_700]["n"] = "a needle"

    async def journey(pilot: Pilot[Any], tree: JsonTree) -> None:
        tree.look_for("needle")
        assert ("list", 1_700, "n") == tree.row.path
        await pilot.press("n")
        assert ("other", "deep", "Needle") == tree.row.path
        await pilot.press("n")
        assert ("list", 1_700, "n") == tree.row.path
        await pilot.press("N")
        assert ("other", "deep", "Needle") == tree.row.path

    in_tree(value, journey)


def test_what_is_under_the_cursor_stays_there_when_the_value_is_read_again() -> None:
    async def journey(pilot: Pilot[Any], tree: JsonTree) -> None:
        await pilot.press("j", "j")
        tree.show({"a": 1, "b": 3}, ("input",))
        assert (("b",), 3) == (tree.row.path, tree.row.value)

    in_tree({"a": 1, "b": 2}, journey)


def test_keys_and_texts_are_harmless_however_long_or_deep_they_are() -> None:
    deep: Any = "end"
    for _ in range(499):
        deep = {"d": deep}
    value = {"\x1b[2J[red]" + "k" * 100_000: "\ud800\u202e" + "v" * 100_000, "deep": deep}

    async def journey(pilot: Pilot[Any], tree: JsonTree) -> None:
        assert "\\x1b[2J[red]kkk" in seen(pilot.app)
        tree.look_for("end")
        await pilot.pause()
        assert ("deep", *("d",) * 499) == tree.row.path
        assert '"end"' in seen(pilot.app)
        tree.look_for("vvv")
        await pilot.pause()
        assert not {char for char in seen(pilot.app) if char in "\x1b\ud800\u202e"}

    in_tree(value, journey)
