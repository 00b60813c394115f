"""A JSON value as a tree: rows are made when a part is unfolded, and the parts of a long list come in pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from rich.cells import cell_len, set_cell_size
from textual.binding import Binding, BindingType

from flowctl.core.jsonpath import Path, path_text
from flowctl.core.text import safe_line, shorten
from flowctl.tui.widgets.rows import Piece, Rows

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp

PAGE = 500  # parts of one list or object that are shown at once
_AT_FIRST = 40  # rows: what fits is unfolded from the beginning
_LONGEST = 2_000  # characters of one value that are drawn
_DEEPEST = 20  # levels that are indented

Fold = tuple[Path, int]  # place of a list or object, and the first part of a page; -1: all of it


class Item(NamedTuple):
    """A row: a value with its name, or a page of the parts of one."""

    path: Path
    depth: int
    value: Any
    open: bool | None
    page: range | None = None

    @property
    def fold(self) -> Fold:
        """Return what is folded with it."""
        return self.path, -1 if self.page is None else self.page.start


class JsonTree(Rows):
    """A value, under its place in the run: `steps.fetch.output`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "unfold(True)", "Unfold", show=False),
        Binding("left", "unfold(False)", "Fold", show=False),
        Binding("space", "choose", "Fold", show=False),
        Binding("n", "next_hit(1)", "Next", show=False),
        Binding("N", "next_hit(-1)", "Before", show=False),
        Binding("y", "copy", "Copy value", id="copy_value"),
        Binding("Y", "copy_path", "Copy path", id="copy_path"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.value: Any = None
        self._above: Path = ()
        self._open: set[Fold] = set()
        self._hits: list[Path] = []

    def show(self, value: Any, above: Path) -> None:
        """Show a value; `above` is its place in the run."""
        same = above == self._above and type(value) is type(self.value)
        here = self.row if same else None
        self.value, self._above, self._hits = value, above, []
        if not same:
            self._open = _at_first(value)
        self._lay_out(None if here is None else here.fold)

    def _lay_out(self, here: Fold | None) -> None:
        rows = list(self._rows())
        at = next((at for at, row in enumerate(rows) if row.fold == here), 0) if here is not None else 0
        self.put(rows, at)

    def _rows(self) -> Iterator[Item]:
        pending = [Item((), 0, self.value, None)]
        while pending:
            item = pending.pop()
            parts = _parts(item)
            is_open = (item.fold in self._open) if parts else None
            yield item._replace(open=is_open)
            if is_open:
                pending += reversed(parts)

    # -- folding

    def action_choose(self) -> None:
        """Fold or unfold what is under the cursor."""
        if isinstance(self.row, Item) and self.row.open is not None:
            self._open ^= {self.row.fold}
            self._lay_out(self.row.fold)

    def action_unfold(self, wanted: bool) -> None:
        """Unfold what is under the cursor; or fold it, or what it is part of."""
        item = self.row
        if not isinstance(item, Item):
            return
        if item.open is (not wanted):
            self.action_choose()
        elif not wanted:
            above = (at for at in range(self.cursor - 1, -1, -1) if self.rows[at].depth < item.depth)
            self.cursor = next(above, self.cursor)

    # -- copying

    def action_copy(self) -> None:
        """Copy the value under the cursor: a text as it is, anything else as JSON."""
        if isinstance(self.row, Item):
            value = self.row.value
            cast("FlowctlApp", self.app).copy(
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            )

    def action_copy_path(self) -> None:
        """Copy where the value stands, as `flowctl fork --set` takes it."""
        if isinstance(self.row, Item):
            cast("FlowctlApp", self.app).copy(path_text((*self._above, *self.row.path)).removeprefix("$."))

    # -- searching

    def look_for(self, needle: str) -> None:
        """Go to the first key or value from here on that has this text, wherever it is folded away."""
        self._hits = list(_found(self.value, needle.casefold()))
        if not self._hits:
            self.notify(f"nothing has {safe_line(needle)}", severity="warning", markup=False)
            return
        self._go_to(self._hits[0])

    def action_next_hit(self, by: int) -> None:
        """Go to the next one, or the one before; after the last comes the first."""
        if self._hits:
            here = self.row.path if isinstance(self.row, Item) else ()
            at = self._hits.index(here) + by if here in self._hits else 0
            self._go_to(self._hits[at % len(self._hits)])

    def _go_to(self, path: Path) -> None:
        value = self.value
        for depth, part in enumerate(path):
            self._open.add((path[:depth], -1))
            if len(value) > PAGE:
                place = part if isinstance(part, int) else list(value).index(part)
                self._open.add((path[:depth], place // PAGE * PAGE))
            value = value[part]
        self._lay_out((path, -1))

    # -- drawing

    def draw(self, row: Item, width: int) -> Iterable[Piece]:
        """Return a row: sign, name, and the value or how much there is of it."""
        sign = " " if row.open is None else ("▾" if row.open else "▸")
        yield f"{'  ' * min(row.depth, _DEEPEST)}{sign} ", "bright_black"
        if row.page is not None:
            yield f"[{row.page.start:,} … {row.page.stop - 1:,}]", "bright_black"
            return
        if row.path:
            name = row.path[-1]
            shown = f"[{name}]" if isinstance(name, int) else safe_line(shorten(name, _LONGEST))
            yield f"{shown}: ", "cyan"
        text, style = _shown(row.value)
        yield _cut(text, width), style


def _at_first(value: Any) -> set[Fold]:
    """Return what is unfolded from the beginning: as much as fits, the outermost first."""
    shown = 1
    opened: set[Fold] = set()
    pending = [Item((), 0, value, None)]
    for item in pending:
        parts = _parts(item)
        if parts and (shown + len(parts) <= _AT_FIRST or not opened):
            opened.add(item.fold)
            shown += len(parts)
            if shown <= _AT_FIRST:
                pending += parts
    return opened


def _parts(item: Item) -> list[Item]:
    """Return what is below a row: parts, or pages of them."""
    value, depth = item.value, item.depth + 1
    if not isinstance(value, dict | list) or not value:
        return []
    names = range(len(value)) if isinstance(value, list) else list(value)
    if item.page is None and len(value) > PAGE:
        starts = range(0, len(value), PAGE)
        return [Item(item.path, depth, value, None, range(at, min(at + PAGE, len(value)))) for at in starts]
    if item.page is not None:
        names = names[item.page.start : item.page.stop]
    return [Item((*item.path, name), depth, value[name], None) for name in names]


def _found(value: Any, needle: str) -> Iterator[Path]:
    pending: list[tuple[Path, Any]] = [((), value)]
    while pending:
        path, value = pending.pop()
        name = str(path[-1]).casefold() if path and isinstance(path[-1], str) else ""
        text = "" if isinstance(value, dict | list) else _text(value).casefold()
        if needle in name or needle in text:
            yield path
        if isinstance(value, dict):
            pending += [((*path, key), part) for key, part in reversed(value.items())]
        elif isinstance(value, list):
            pending += [((*path, at), value[at]) for at in range(len(value) - 1, -1, -1)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any) -> tuple[str, str]:
    if isinstance(value, dict):
        return f"{{{len(value):,} {'key' if len(value) == 1 else 'keys'}}}", "bright_black"
    if isinstance(value, list):
        return f"[{len(value):,} {'item' if len(value) == 1 else 'items'}]", "bright_black"
    if isinstance(value, str):
        return safe_line(json.dumps(shorten(value, _LONGEST), ensure_ascii=False)), "green"
    return json.dumps(value), "magenta"


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"
