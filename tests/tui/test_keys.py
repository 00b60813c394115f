"""The line of keys: what can be done, what cannot now, and always the key that lists all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.tui.widgets.key_line import KeyLine
from tests.tui.conftest import on_screen, seen, sees, until


@pytest.mark.parametrize(
    ("size", "first_keys"),
    [
        ((60, 20), ["⏎ Open", "a Actions", "/ Filter"]),
        ((80, 24), ["⏎ Open", "a Actions", "/ Filter", "r Retry"]),
        ((160, 48), ["⏎ Open", "a Actions", "/ Filter", "r Retry"]),
    ],
)
def test_the_key_that_lists_all_is_in_sight_at_every_width(
    db: str, shop: Callable[..., str], size: tuple[int, int], first_keys: list[str]
) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs", "? Keys", *first_keys)

    on_screen(db, journey, size=size)


def test_a_click_on_a_key_presses_it(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "? Keys")
        line = seen(pilot.app).splitlines()[-1]
        await pilot.click(KeyLine, offset=(line.index("/ Filter"), 0))
        await until(pilot, lambda: pilot.app.focused is not None and pilot.app.focused.id != "runs")
        await pilot.press(*"state:failed", "enter")
        await sees(pilot, "1 run · state:failed")

    on_screen(db, journey)
