"""Places whose main part is a list: one that has the keys from the beginning, and one of things by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult

from flowctl.store import Store
from flowctl.tui.columns import Column, Row
from flowctl.tui.screens.place import Place
from flowctl.tui.widgets.table import Key, Table

Seen = TypeVar("Seen")


class ListPlace(Place):
    """A place with one list."""

    def on_mount(self) -> None:
        """Let the list have the keys."""
        self.table.focus()

    @property
    def table(self) -> Table:
        """Return the list."""
        return self.query_one(Table)


class NamedList(ListPlace, Generic[Seen]):
    """A list of things by their names, of which everything is read at once."""

    columns: ClassVar[tuple[Column, ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Seen] = {}

    # -- to be given by a place

    def read(self, store: Store) -> dict[str, Seen]:
        """Return what there is, by name."""
        raise NotImplementedError

    def row(self, seen: Seen) -> Row:
        """Return the cells of one."""
        raise NotImplementedError

    def subject(self, seen: Seen) -> Any:
        """Return what an action is done to."""
        raise NotImplementedError

    def standing(self, seen: Seen | None) -> str:
        """Return how the one under the cursor stands, or what is said of an empty list."""
        raise NotImplementedError

    # -- given to it

    def compose_body(self) -> ComposeResult:
        """Yield the list."""
        yield Table(self.columns, self._fetch)

    async def load(self) -> None:
        """Read what there is."""
        self.seen = await self.ask(self.read)
        self.table.show([*self.seen])
        self._follow()

    async def _fetch(self, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return {key: self.row(self.seen[str(key)]) for key in keys if key in self.seen}

    def subjects(self) -> list[Any]:
        """Return what is marked, or what is under the cursor."""
        keys: list[Key | None] = [*self.table.marked] or [self.table.key]
        return [self.subject(self.seen[key]) for key in keys if isinstance(key, str) and key in self.seen]

    @on(Table.Moved)
    def _follow(self) -> None:
        self.tell(self.standing(self.seen.get(str(self.table.key))))
        self.grey_out()
