"""The last line: the keys that do something here, grey where they cannot now, and always the one that lists all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget


class _Shown(NamedTuple):
    """A key as it is shown, and what a click on it presses."""

    display: str
    does: str
    key: str
    enabled: bool
    tooltip: str
    lists_all: bool

    @property
    def width(self) -> int:
        return cell_len(self.display) + 1 + cell_len(self.does)


class KeyLine(Widget):
    """One widget that draws them all: Textual's footer makes one for each, anew at every change, which is felt."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-line--key", "key-line--does"}

    def __init__(self) -> None:
        super().__init__()
        self._shown: list[_Shown] = []

    def on_mount(self) -> None:
        """Follow what can be done."""
        self.screen.bindings_updated_signal.subscribe(self, self._learn)

    def _learn(self, screen: Screen[object]) -> None:
        if not self.app.app_focus or screen is not self.screen:
            return
        active = [each for each in screen.active_bindings.values() if each.binding.show]
        by_action = {each.binding.action: each for each in reversed(active)}  # of several keys the first
        actions = dict.fromkeys(each.binding.action for each in active)
        shown = [
            _Shown(
                self.app.get_key_display(each.binding),
                each.binding.description,
                each.binding.key,
                each.enabled,
                each.tooltip,
                each.binding.action == "keys",
            )
            for each in map(by_action.__getitem__, actions)
        ]
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        base = self.rich_style
        if y:
            return Strip.blank(self.size.width, base)
        return Strip(self._segments(base)).adjust_cell_length(self.size.width, base)

    def _segments(self, base: Style) -> Iterable[Segment]:
        key_look = self.get_component_rich_style("key-line--key")
        does_look = self.get_component_rich_style("key-line--does")
        at = 0
        for place, each in self._places():
            dim = Style.null() if each.enabled else Style(dim=True)
            yield Segment(" " * (place.start - at), base)
            yield Segment(f"{each.display} ", key_look + dim)
            yield Segment(each.does, does_look + dim)
            at = place.stop

    def _places(self) -> Iterator[tuple[range, _Shown]]:
        """Yield where each key is: as many as there is room for, then the one that lists all."""
        last = [each for each in self._shown if each.lists_all]
        start, end = 0, self.size.width - sum(each.width + 1 for each in last)
        for each in self._shown:
            if each not in last and start + each.width <= end:
                yield range(start, start + each.width), each
                start += each.width + 1
        for each in last:
            yield range(start, start + each.width), each
            start += each.width + 1

    def _at(self, x: int) -> _Shown | None:
        return next((each for place, each in self._places() if x in place), None)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Tell more of the key under the pointer."""
        found = self._at(event.x)
        self.tooltip = found.tooltip or None if found is not None else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Press the key; one that is grey says why it cannot be."""
        found = self._at(event.x)
        if found is not None:
            self.app.simulate_key(found.key)
