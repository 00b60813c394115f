"""What every place has: a line with the places, a line that tells how it stands, the keys, and fresh data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingsMap, BindingType
from textual.screen import Screen

from flowctl.core.errors import FlowctlError
from flowctl.store import Store
from flowctl.tui.actions import Action, refusal_of
from flowctl.tui.widgets.heading import Heading
from flowctl.tui.widgets.key_line import KeyLine
from flowctl.tui.widgets.standing import Standing

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp

T = TypeVar("T")


class Place(Screen[None]):
    """A screen that shows something of the file, and shows it anew when the file has changed."""

    name_of_place = ""
    actions: ClassVar[tuple[Action, ...]] = ()
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "menu", "Actions", id="actions"),
        Binding("f5", "reload", "Read again", show=False, id="reload"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._loading = False
        self._changed_since = False
        self._possible: list[bool] = []
        own = [Binding(each.key, f"act('{each.name}')", each.title, id=each.name) for each in self.actions]
        self._bindings = BindingsMap.merge([self._bindings, BindingsMap(own)])

    @property
    def flowctl(self) -> FlowctlApp:
        """Return the app."""
        return cast("FlowctlApp", self.app)

    # -- to be given by a place

    def compose_body(self) -> ComposeResult:
        """Yield what is between the heading and the standing line."""
        yield from ()

    async def load(self) -> None:
        """Read what is shown, and show it. Raises FlowctlError."""

    def subjects(self) -> list[Any]:
        """Return what an action is done to: what is marked, or what is under the cursor."""
        return []

    def further(self) -> tuple[Action, ...]:
        """Return the actions that have no key: the menu lists them after the others."""
        return ()

    # -- given to it

    def compose(self) -> ComposeResult:
        """Yield the parts."""
        yield Heading(self.name_of_place)
        yield from self.compose_body()
        yield Standing()
        yield KeyLine()

    async def ask(self, question: Callable[[Store], T]) -> T:
        """Return the answer of the file to a question. Raises FlowctlError."""
        return await self.flowctl.reader.ask(question)

    def tell(self, text: str) -> None:
        """Say how this place stands, in the line above the keys."""
        self.query_one(Standing).text = text

    @on(events.ScreenResume)
    def _come(self) -> None:
        """Read for the first time, and whenever one comes back."""
        self.action_reload()

    def on_file_changed(self) -> None:
        """Read again."""
        self.read_again()

    def read_again(self) -> None:
        """Read what the file says now."""
        self.action_reload()

    def action_reload(self) -> None:
        """Read what is shown, once more after a read that is under way."""
        if self._loading:
            self._changed_since = True
            return
        self._loading = True
        self.run_worker(self._load(), group="load")

    async def _load(self) -> None:
        try:
            await self.load()
        except FlowctlError as error:
            self.flowctl.say_trouble(error)
        finally:
            self._loading = False
            self.flowctl.has_read()
        self.grey_out()
        if self._changed_since:
            self._changed_since = False
            self.action_reload()

    # -- actions

    def grey_out(self) -> None:
        """Draw the keys anew when other actions are possible than before: the footer is the dearest thing to draw."""
        subjects = self.subjects()
        possible = [refusal_of(action, subjects) is None for action in self.actions]
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what cannot be done now."""
        if action == "menu":
            return bool(self.actions)
        if action == "act":
            return True if refusal_of(self._named(parameters), self.subjects()) is None else None
        return True

    def on_key(self, event: events.Key) -> None:
        """Say why an action that is greyed out cannot be done."""
        bound = self.active_bindings.get(event.key)
        for action in self.actions:
            if bound is not None and not bound.enabled and bound.binding.action == f"act('{action.name}')":
                self.flowctl.act(action, self.subjects())

    def action_act(self, name: str) -> None:
        """Do something to what is chosen."""
        self.flowctl.act(self._named((name,)), self.subjects())

    def action_menu(self) -> None:
        """List what can be done to what is chosen, with the commands."""
        from flowctl.tui.screens.menu import Menu

        self.app.push_screen(Menu((*self.actions, *self.further()), self.subjects()))

    def _named(self, parameters: tuple[object, ...]) -> Action:
        return next(action for action in self.actions if action.name == parameters[0])
