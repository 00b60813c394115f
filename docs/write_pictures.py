"""Draws the pictures of the screen anew, from a demonstration that is run for them: `make screenshots`.

An SVG is text that every browser draws; Textual makes it. Its web font is left out: nothing is fetched to look at it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from flowctl.cli.instants import local
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.config import ScreenSettings
from flowctl.tui.app import FlowctlApp

DAY_MS = 86_400_000
FOLDER = Path(__file__).resolve().parent / "pictures"
FLOWS = '''
import time
from flowctl import gather, sleep, step, workflow


@step(retries=2, backoff="300ms")
def fetch(shop: str) -> dict:
    """Ask a shop for its prices."""
    time.sleep(0.2)
    with open(f"{shop}.asked", "a") as asked:
        asked.write("x")
    if shop == "north" and open(f"{shop}.asked").read() == "x":
        raise ConnectionError("north does not answer")
    print(f"{shop}: 2 prices")
    return {"shop": shop, "prices": [{"name": "pen", "price": 3.5}, {"name": "ink", "price": 12.0}]}


@step
def add_up(found: list[dict], rate: float) -> float:
    return sum(each["price"] for page in found for each in page["prices"]) / rate


@workflow(schedule={"cron": "30 6 * * mon-fri"})
def prices(shops: list[str] = ["north", "south", "west"], rate: float = 1.0) -> float:
    """Collect the prices of all shops."""
    found = gather(*[fetch.bind(shop) for shop in shops])
    sleep("400ms")
    return add_up(found, rate)
'''
COMMANDS = (
    ["workflows", "add", "flows.py"],
    ["run", "prices", "--tag", "team=sales"],
    ["exec", "--", "du", "-sh", "."],
    ["run", "prices", "rate=1.1"],
    ["run", "prices", "rate=0", "--tag", "team=sales"],
    ["schedules", "add", "tidy", "--every", "6h", "--", "find", ".", "-name", "*.asked"],
    ["schedules", "backfill", "tidy", "--from", local(SYSTEM_CLOCK.now() - DAY_MS)[:10], "--yes"],
    ["daemon", "start"],
    ["wait", "tidy@last"],
    ["daemon", "stop"],
    ["schedules", "pause", "tidy", "--reason", "the disk is being changed"],
    ["exec", "--detach", "--queue", "slow", "--", "sleep", "3600"],
    ["queues", "set", "slow", "--concurrency", "1"],
)


class Picture(NamedTuple):
    """A picture: its name, its size in cells, the run that is opened, and the keys that lead there."""

    name: str
    size: tuple[int, int]
    run: int | None
    keys: Sequence[str]


PICTURES = (
    Picture("runs", (160, 30), None, ("end", "k", "k", "k")),
    Picture("run", (120, 30), 1, ("down", "down", "down")),
    Picture("failed", (120, 30), 4, ()),
    Picture("compare", (120, 24), 4, ("d",)),
    Picture("schedules", (130, 20), None, ("S", "j", "enter")),
    Picture("small", (80, 24), 4, ()),
)


def main() -> None:
    """Run the demonstration in a folder of its own, and draw every picture."""
    FOLDER.mkdir(exist_ok=True)
    folder = Path(tempfile.gettempdir()) / "shop"  # it is in the pictures: the same every time
    folder.mkdir()
    try:
        os.chdir(folder)
        Path("flows.py").write_text(FLOWS)
        os.environ["FLOWCTL_DB"] = str(folder / "demonstration.db")
        for words in COMMANDS:
            subprocess.run([sys.executable, "-m", "flowctl", "--quiet", *words], check=False, capture_output=True)
        for picture in PICTURES:
            text = asyncio.run(_drawn(picture, os.environ["FLOWCTL_DB"]))
            (FOLDER / f"{picture.name}.svg").write_text(_without_font(text))
    finally:
        shutil.rmtree(folder)


async def _drawn(picture: Picture, db: str) -> str:
    app = FlowctlApp(db, "default", ScreenSettings(theme="textual-dark"), picture.run)
    async with app.run_test(size=picture.size) as pilot:
        await pilot.pause(1.0)
        for key in picture.keys:
            await pilot.press(key)
            await pilot.pause(0.5)
        await pilot.pause(1.0)
        return app.export_screenshot(title="flowctl tui")


def _without_font(svg: str) -> str:
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "monospace")


if __name__ == "__main__":
    main()
