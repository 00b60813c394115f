"""The places of the screen, and how one gets there."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from flowctl.core.text import safe_line

if TYPE_CHECKING:
    from textual.screen import Screen

SMALLEST = (60, 20)  # columns and lines that the screen is made for
WHOLE = 72  # columns from which on the name of the program has room beside those of the places


class Named(NamedTuple):
    """A place: its name, the key that leads there, title, what is there, and the class of its screen."""

    name: str
    key: str
    title: str
    does: str
    screen: str


PLACES = (
    Named("runs", "R", "Runs", "Every run, the newest first", "runs:RunsScreen"),
    Named("schedules", "S", "Schedules", "What is due, and what became of it", "schedules:SchedulesScreen"),
    Named("workflows", "W", "Workflows", "What can be run", "workflows:WorkflowsScreen"),
    Named("queues", "Q", "Queues", "Queues and their limits, engines, the daemon, breakers", "queues:QueuesScreen"),
    Named("dead", "D", "Dead", "Dead letters: failures that nobody has dealt with", "dead:DeadScreen"),
    Named("events", "E", "Events", "What happened, and who did it", "events:EventsScreen"),
)


def titled(place: Named, keys: Mapping[str, str]) -> tuple[str, str]:
    """Return the key of a place where its title begins with it, and the rest of what is shown of both.

    `keys` are those of the configuration file, which go before a place's own.
    """
    key, title = safe_line(keys.get(place.name, place.key)), place.title
    return (key, title[len(key) :]) if title.startswith(key) else ("", f"{key} {title}")


def screen_of(path: str, *given: Any) -> Screen[Any]:
    """Return a new screen of the class "module:Class", which is imported only now."""
    module, _, name = path.partition(":")
    found = importlib.import_module(f"flowctl.tui.screens.{module}")
    return cast("Callable[..., Screen[Any]]", getattr(found, name))(*given)


MODES: dict[str, str | Callable[[], Screen[Any]]] = {place.name: partial(screen_of, place.screen) for place in PLACES}
