"""Fields of a form, and lists that are read again: what is drawn is safe, what is sent is what was meant."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from textual.app import App, ComposeResult

from flowctl.tui.columns import Column, Row
from flowctl.tui.widgets.field import Field, FieldLine
from flowctl.tui.widgets.table import Key, Table
from tests.tui.conftest import until

NASTY = "a\x1b[31m\u202eb"


class _Fields(App[None]):
    CSS = "FieldLine, Horizontal { height: auto; } .label { width: 16; }"

    def compose(self) -> ComposeResult:
        yield FieldLine(Field("short", "short", NASTY))
        yield FieldLine(Field("long", "long", f'"{NASTY}"', is_long=True))


class _List(App[None]):
    def compose(self) -> ComposeResult:
        yield Table((Column("ONE", 0),), self._fetch)

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return dict.fromkeys(keys, ("row",))


def test_what_was_recorded_is_drawn_harmlessly_and_stays_what_it_was_until_it_is_edited() -> None:
    async def go() -> None:
        async with _Fields().run_test() as pilot:
            short, long = pilot.app.query(FieldLine)
            drawn = "".join(strip.text for strip in pilot.app.screen._compositor.render_strips(pilot.app.size))
            assert "\x1b" not in drawn
            assert "\u202e" not in drawn
            assert r"a\x1b[31m\u202eb" in drawn
            assert [NASTY, f'"{NASTY}"'] == [short.value, long.value]
            short.enter()
            await pilot.press("end", "c")
            assert r"a\x1b[31m\u202ebc" == short.value

    asyncio.run(go())


def test_a_list_that_is_read_again_twice_at_once_forgets_the_first_without_a_warning() -> None:
    async def go() -> None:
        async with _List().run_test() as pilot:
            table = pilot.app.query_one(Table)
            table.show([1, 2])
            table.refetch()
            await until(pilot, lambda: "row" in table.render_line(1).text)

    asyncio.run(go())
