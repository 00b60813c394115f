"""The screen as a whole: its places, what it polls, and what it tells."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from rich.console import RenderableType
from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.theme import BUILTIN_THEMES, Theme
from textual.worker import WorkerFailed

from flowctl.cli.instants import local
from flowctl.cli.terminal import has_hung_up
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.config import ScreenSettings
from flowctl.core.errors import FlowctlError
from flowctl.core.text import safe_line, shorten
from flowctl.engine.daemon_lock import running_daemon
from flowctl.store import Store
from flowctl.tui import clipboard, places
from flowctl.tui.actions import Action, Command, Outcome, command_for, refusal_of
from flowctl.tui.driver import driver_over
from flowctl.tui.first_paint import FirstPaint
from flowctl.tui.reader import Reader
from flowctl.tui.screens.confirm import Confirm
from flowctl.tui.trouble import told

POLL_S = 0.25
TROUBLE_POLL_S = 1.0  # then the file is opened anew each time
DAEMON_POLLS = 4  # between two looks at the daemon while nothing changes


class FileChanged(Message):
    """Something was written to the file, or it can be read again."""


class FirstRead(Message):
    """What the first place shows has been read."""


class FlowctlApp(App[None]):
    """flowctl on a screen."""

    TITLE = "flowctl"
    CSS_PATH = "app.tcss"
    MODES = places.MODES
    DEFAULT_MODE = "runs"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(place.key, f"switch_mode('{place.name}')", place.title, show=False, id=place.name)
            for place in places.PLACES
        ),
        Binding("colon", "command_palette", "Everything", show=False, id="palette"),
        Binding("question_mark", "keys", "Keys", id="keys"),
        Binding("q", "quit", "Quit", id="quit"),
        Binding("y", "copy_command", "Copy command", show=False, id="copy"),
    ]
    trouble: reactive[str] = reactive("")  # why what is shown may be old
    daemon: reactive[tuple[int | None, int] | None] = reactive(None)  # pid, and how many runs run; None: not known

    def __init__(
        self,
        db: str,
        namespace: str,
        settings: ScreenSettings,
        run: int | None = None,
        *,
        debugs: bool = False,
        paint: FirstPaint | None = None,
    ) -> None:
        # Without colour Textual makes greys of a theme's colours: of the terminal's own, which it does not know, black.
        super().__init__(
            driver_class=None if paint is None else driver_over(paint),
            ansi_color=True if "NO_COLOR" in os.environ else None,
        )
        self.db = db
        self.namespace = namespace
        self.settings = settings
        # Here, and not when the screen is up: everything on it would be styled anew.
        self.register_theme(_terminal_theme())
        self.theme = settings.theme if settings.theme in self.available_themes else "terminal"
        self.reader = Reader(db)
        self.last_command = ""
        self.defect: Exception | None = None  # what ended the screen
        self._opens = run
        self._debugs = debugs
        self._ends_by_signal = paint is not None
        self._held: list[events.Event] | None = [] if paint is not None and paint.drawn else None  # until has_read()
        self._told: set[str] = set()  # defects of workers that were told

    # -- life

    def on_load(self) -> None:
        """Be ended in order by a signal, also before anything is shown."""
        if self._ends_by_signal:
            for number in (signal.SIGHUP, signal.SIGTERM):
                # Later: what is ended before all of it is there fails.
                asyncio.get_running_loop().add_signal_handler(number, self.call_later, self.exit, None, 128 + number)

    def on_mount(self) -> None:
        """Set the keys, and begin to watch the file."""
        self.set_keymap(dict(self.settings.keys))
        self.run_worker(self._watch(), group="watch")
        if self._opens is not None:
            self.open_run(self._opens)

    def on_unmount(self) -> None:
        """Close the file."""
        self.reader.close()

    async def _watch(self) -> None:
        polls = 0
        while True:
            try:
                changed = await self.reader.changed()
                if changed or polls % DAEMON_POLLS == 0:
                    self.daemon = await self.reader.ask(_daemon)
            except FlowctlError as error:
                self.say_trouble(error)
                self.daemon = None
            else:
                if (changed and polls) or self.trouble:
                    self.trouble = ""
                    self.screen.post_message(FileChanged())
            if not self.is_headless and has_hung_up(sys.__stdin__):
                self.exit(return_code=128 + signal.SIGHUP)
            polls += 1
            await asyncio.sleep(TROUBLE_POLL_S if self.trouble else POLL_S)

    # -- taking over from the first paint

    def has_read(self) -> None:
        """Be told by a place that it has read what it shows: the screen may take over from the first paint."""
        if self._held is not None:
            self.post_message(FirstRead())

    async def on_first_read(self) -> None:
        """Draw the screen, and obey the keys that were pressed before."""
        held, self._held = self._held or [], None
        self.refresh()
        for event in held:
            await super().on_event(event)

    async def on_event(self, event: events.Event) -> None:
        """Keep keys until there is what they are meant for: a list stands there before the screen has read it."""
        if self._held is not None and isinstance(event, events.InputEvent):
            self._held.append(event)
        else:
            await super().on_event(event)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Leave the first paint until there is something to put in its place. Textual has no other way to do so."""
        if self._held is None:
            super()._display(screen, renderable)

    # -- trouble

    def say_trouble(self, error: FlowctlError) -> None:
        """Tell that the file cannot be read, and since when what is shown is old."""
        text = safe_line(told(error))
        if not self.trouble.startswith(text):
            self.trouble = f"{text} (what is shown is of {local(SYSTEM_CLOCK.now())[11:]})"

    def _handle_exception(self, error: Exception) -> None:
        """Tell what a worker failed at, and go on. Whatever else fails ends the screen: the shell is told of it.

        Textual would end with a traceback either way, and has no other place where both can be caught.
        """
        cause = error.error if isinstance(error, WorkerFailed) else error
        if isinstance(error, WorkerFailed) and isinstance(cause, FlowctlError):
            self.say_trouble(cause)
        elif isinstance(error, WorkerFailed) and not self._debugs:
            text = f"flowctl itself failed: {type(cause).__name__}: {cause}"
            if text not in self._told:
                self._told.add(text)
                self.notify(
                    safe_line(text), title="flowctl tui --debug shows more", severity="error", timeout=30, markup=False
                )
        elif self.is_headless:
            super()._handle_exception(error)
        else:
            self.defect = self.defect or (cause if isinstance(cause, Exception) else error)
            self.exit(return_code=1)

    # -- going somewhere

    def open_run(self, number: int, step: str | None = None) -> None:
        """Open a run, at a step if one is named."""
        from flowctl.tui.screens.run import RunScreen

        self.push_screen(RunScreen(number, step))

    def action_keys(self) -> None:
        """Show the keys of the place one is in."""
        from flowctl.tui.screens.keys import Keys

        self.push_screen(Keys(self.screen))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Yield what the command palette lists: the places, what can be done here, and Textual's own."""
        for place in places.PLACES:
            yield SystemCommand(f"Go to {place.title}", place.does, lambda name=place.name: self.switch_mode(name))
        listed: set[str] = set()  # what has several keys is listed once
        for binding in screen.active_bindings.values():
            own = binding.binding
            moves = own.id is None and not own.show  # as the arrows do: nobody looks for that here
            if binding.enabled and not moves and own.description not in {"", *listed} and binding.node is not self:
                listed.add(own.description)
                yield SystemCommand(
                    own.description,
                    own.tooltip or f"key {self.get_key_display(own)}",
                    lambda found=binding: self.run_worker(self.run_action(found.binding.action, found.node)),
                )
        yield from super().get_system_commands(screen)

    # -- doing something

    def act(self, action: Action, subjects: Sequence[Any]) -> None:
        """Do something to what is chosen: ask first when it destroys or needs more, say why when it cannot be done."""
        refusal = refusal_of(action, subjects)
        if refusal is not None:
            self.notify(safe_line(refusal), title=f"{action.title}: not now", severity="warning", markup=False)
            return
        possible = [each for each in subjects if action.refusal(each) is None]
        command = command_for(action, possible)
        if action.form:
            self.push_screen(places.screen_of(action.form, possible))
        elif action.destroys:
            self.push_screen(Confirm(f"{action.title}?", self.shown(command)), self._when_sure(command))
        else:
            self.perform(command)

    def _when_sure(self, command: Command) -> Callable[[bool | None], None]:
        def answered(yes: bool | None) -> None:
            if yes:
                self.perform(command)

        return answered

    def shown(self, command: Command) -> str:
        """Return a command as a person types it."""
        return command.shown(self.db, self.namespace)

    def perform(self, command: Command) -> None:
        """Run a command beside the screen, and tell what came of it."""
        self.run_worker(self._performed(command), group="commands")

    async def _performed(self, command: Command) -> None:
        outcome = await self.ran(command)
        if outcome.message and outcome.code:
            self.notify(safe_line(outcome.message), title=safe_line(self.last_command), severity="error", markup=False)
        else:
            self.tell_done()

    async def ran(self, command: Command) -> Outcome:
        """Run a command, which `y` copies from now on, and return what it said."""
        self.last_command = self.shown(command)
        outcome = await command.run(self.db, self.namespace)
        self.screen.post_message(FileChanged())
        return outcome

    def tell_done(self) -> None:
        """Tell that the last command has done its work."""
        self.notify("done · y copies the command", title=safe_line(self.last_command), markup=False)

    def action_copy_command(self) -> None:
        """Copy the last command that was run from here."""
        if self.last_command:
            self.copy(self.last_command)

    def copy(self, text: str) -> None:
        """Copy a text to the clipboard, by way of the terminal and of the desktop; without either, show it."""
        text = text.encode(errors="backslashreplace").decode()
        by_terminal = clipboard.takes_copies(os.environ)
        if by_terminal:
            self.copy_to_clipboard(text)
        self.run_worker(self._copied(text, by_terminal), group="copies")

    async def _copied(self, text: str, by_terminal: bool) -> None:
        by_desktop = await asyncio.to_thread(clipboard.copy, text, os.environ)
        if by_terminal or by_desktop:
            self.notify(safe_line(shorten(text, 200)), title="Copied", markup=False)
            return
        from flowctl.tui.screens.shown import Shown

        self.push_screen(Shown("This terminal takes no copies: select the text, with shift held down", text))

    def key_of(self, name: str, key: str) -> str:
        """Return the key of a binding: that of the configuration file, or its own."""
        return self.settings.keys.get(name, key)


def _daemon(store: Store) -> tuple[int | None, int]:
    facts = running_daemon(store.path)
    return None if facts is None else facts.pid, len(store.runs.running())


def _terminal_theme() -> Theme:
    """Return the theme that has the terminal's own colours and nothing else."""
    own = BUILTIN_THEMES["ansi-dark"]
    return Theme(**{**{name: getattr(own, name) for name in own.__dataclass_fields__}, "name": "terminal"})
