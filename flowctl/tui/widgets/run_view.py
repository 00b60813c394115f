"""A run: what is said of it, its steps beside their timeline, and the tabs of the chosen one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.message import Message
from textual.widgets import ContentSwitcher, Input, Static

from flowctl.core.errors import NotFound
from flowctl.core.model import FINAL_STATES, Run
from flowctl.core.text import safe_line
from flowctl.tui import outside, run_words
from flowctl.tui.code import source_of
from flowctl.tui.run_reads import Detail, SeenRun, read_detail, read_run
from flowctl.tui.run_tree import Place
from flowctl.tui.timeline import LEGEND
from flowctl.tui.trouble import told
from flowctl.tui.widgets.errors import error_lines, last_own_frame
from flowctl.tui.widgets.json_tree import JsonTree
from flowctl.tui.widgets.lines import Line, Lines
from flowctl.tui.widgets.log_view import LogView
from flowctl.tui.widgets.payload import Payload
from flowctl.tui.widgets.rows import Rows
from flowctl.tui.widgets.safe_input import SafeInput
from flowctl.tui.widgets.steps import MOVING, Steps
from flowctl.tui.widgets.tabs import TABS, TabLine

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp

BESIDE = 100  # columns from which on the tabs are beside the steps
_PAUSE_S = 0.05  # a cursor that moves on does not have everything read


class RunView(Vertical):
    """Shows one run at a time; whoever owns it says which, and when to read again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"tab('{name}')", name.capitalize(), show=False) for number, name in enumerate(TABS, 1)),
        Binding("tab", "turn(1)", "Next tab", show=False),
        Binding("shift+tab", "turn(-1)", "Tab before", show=False),
        Binding("l", "tab('logs')", "Logs", id="logs"),
        Binding("slash", "search", "Search", id="search"),
        Binding("z", "zoom", "Zoom", id="zoom"),
        Binding("e", "edit", "Edit file", id="edit"),
        Binding("escape", "back", "Back", show=False),
    ]

    class Left(Message):
        """The person goes back to where they came from."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="gone")
        self.number: int | None = None
        self.seen: SeenRun | None = None
        self.tab = "output"
        self.gone = ""  # why there is nothing to see
        self._at: Place | None = None  # where the cursor begins
        self._shown: tuple[object, ...] = ()  # what the tab shows
        self._said: dict[str, Text | str] = {}  # by where it is said
        self._file: tuple[str, int | None] = ("", None)  # what `e` opens

    def compose(self) -> ComposeResult:
        """Yield the parts."""
        yield Static(id="about-run", markup=False)
        yield Static(id="facts", markup=False)
        with Container(id="panes"):
            yield Steps()
            with Vertical(id="details"):
                yield TabLine()
                yield Static(id="about-step", markup=False)
                with ContentSwitcher(id="tabs", initial=self.tab):
                    yield Payload(id="input")
                    yield Payload(id="output")
                    yield Lines(id="error")
                    yield LogView(self._flowctl.reader.ask, id="logs")
                    yield Lines(id="attempts")
                    yield Lines(id="code")
                yield SafeInput(placeholder="text to look for: Enter goes there, n and N to the next", id="search")

    @property
    def _flowctl(self) -> FlowctlApp:
        return cast("FlowctlApp", self.app)

    @property
    def steps(self) -> Steps:
        """Return the tree of steps."""
        return self.query_one(Steps)

    @property
    def run(self) -> Run | None:
        """Return the run as it was last read."""
        return self.seen.run if self.seen is not None else None

    @property
    def legend(self) -> str:
        """Return what the signs of the timeline mean."""
        return self.gone or LEGEND

    # -- which run

    async def open(self, number: int, step: str | None = None) -> None:
        """Show a run, at a step if one is named. Raises FlowctlError."""
        if number != self.number:
            self.number, self.seen, self._shown = number, None, ()
            self.steps.begin(number)
            self._at = None if step is None else Place("step", number, step)
        await self.load()

    async def load(self) -> None:
        """Read the run again, and show it. Raises FlowctlError."""
        number, before = self.number, self.seen
        if number is None:
            return
        wanted = self.steps.run_tree.wanted
        try:
            seen = await self._flowctl.reader.ask(lambda store: read_run(store, number, wanted, before))
        except NotFound as error:
            self._say_gone(error)
            return
        if number != self.number or seen is before:
            return
        if before is None:
            self._file = (seen.run.path, None)
            self._choose_place(seen)
        self.seen, self.gone = seen, ""
        self._say("#about-run", run_words.heading(seen))
        self._say("#facts", run_words.facts(seen))
        self.steps.show_run(seen.run, seen.known, self._at)
        self._at = None
        self._look()

    def _choose_place(self, seen: SeenRun) -> None:
        """Begin where a person will look first: at what failed, with its error."""
        run = seen.run
        failed = [step.key for step in seen.known[run.id].steps if step.state == "failed"]
        key = next((key for key in run.failed_steps if key in failed), failed[0] if failed else None)
        if self._at is None and run.state == "failed" and key is not None:
            self._at = Place("step", run.id, key)
        self._turn_to("error" if run.state == "failed" else ("output" if run.state in FINAL_STATES else "logs"))

    def _say_gone(self, error: NotFound) -> None:
        self.seen, self._shown = None, ()
        self.gone = safe_line(told(error))
        self._say("#about-run", self.gone)
        self._say("#facts", "")
        self.steps.begin(self.number or 0)
        self.add_class("gone")

    def _say(self, where: str, text: Text | str) -> None:
        """Show a text; one that stays as it was is not laid out again, and the whole screen with it."""
        if self._said.get(where) != text:
            self._said[where] = text
            self.query_one(where, Static).update(text)

    # -- what is chosen

    @on(Rows.Moved)
    def _follow(self, event: Rows.Moved) -> None:
        if event.control is self.steps:
            event.stop()
            self._look()

    @on(Steps.Unfolded)
    def _read_child(self) -> None:
        self._begin(self.load, "child")

    @on(Steps.Entered)
    def _enter(self) -> None:
        self._focus_tab()

    def _look(self) -> None:
        """Show the chosen tab of what is under the cursor."""
        node = self.steps.node
        if node is None or self.seen is None:
            return
        self.remove_class("gone")
        self._say("#about-step", run_words.about(node.step))
        self.query_one("#about-step", Static).display = node.step is not None
        self._begin(self._show_tab, "tab")

    def _begin(self, work: Callable[[], Coroutine[None, None, None]], group: str) -> None:
        self.run_worker(work, group=group, exclusive=True)  # type: ignore[arg-type] # an async one

    async def _show_tab(self) -> None:
        node, tab = self.steps.node, self.tab
        if node is None or self.seen is None:
            return
        step, place = node.step, node.place
        if step is None:  # of branches nothing is told but their run's
            place = Place("run", place.run)
        standing = (self.seen.line.state, self.seen.run.attempt) if step is None else step[4:10]
        wanted = (place, tab, standing)
        if tab == "logs":
            moving = self.seen.run.state in MOVING and (step is None or step.finished_at is None)
            await self.query_one(LogView).begin(place.run, place.key or None, moving)
            self._shown = wanted
        elif wanted != self._shown:
            await asyncio.sleep(_PAUSE_S)
            ask = self._flowctl.reader.ask
            try:
                detail = await ask(lambda store: read_detail(store, place.run, place.key, code=tab == "code"))
            except NotFound:  # a retry has just set it aside, or it was pruned: the run is read again for that
                return
            await self._fill(tab, detail, place)
            self._shown = wanted

    async def _fill(self, tab: str, detail: Detail, place: Place) -> None:
        above = ("steps", place.key) if place.key else ()
        of = detail.step or detail.run
        self._file = (detail.run.path, None)
        if tab == "input":
            self.query_one("#input", Payload).show(of.input, (*above, "input"), "")
        elif tab == "output":
            self.query_one("#output", Payload).show(of.output, (*above, "output"), f"no output: {of.state}")
        elif tab == "attempts":
            self.query_one("#attempts", Lines).show(run_words.attempt_lines(detail))
        elif tab == "error":
            self._fill_error(detail, place)
        else:
            await self._fill_code(detail)

    def _fill_error(self, detail: Detail, place: Place) -> None:
        error = (detail.step or detail.run).error
        if place.kind == "attempt":
            error = next((each.error for each in detail.attempts if each.attempt == place.attempt), None)
        elif error is None and detail.attempts:
            error = detail.attempts[-1].error  # of a step that is tried again, or that has succeeded since
        lines = [Line("no error", "bright_black")] if error is None else error_lines(error)
        self.query_one("#error", Lines).show(lines)
        where = last_own_frame(error) if error is not None else None
        if where is not None:
            self._file = where

    async def _fill_code(self, detail: Detail) -> None:
        code = self.query_one("#code", Lines)
        snapshot = detail.snapshot
        source = None if snapshot is None else await asyncio.to_thread(source_of, snapshot, detail.run, detail.step)
        if source is None:
            code.title = ""
            code.show([Line("a shell command has no source: its words are its input", "bright_black")])
            return
        self._file = (source.path, source.lines.start or None)
        code.title = run_words.code_title(source)
        code.show(run_words.code_lines(source), max(0, source.lines.start - 1))

    # -- tabs

    def _turn_to(self, name: str) -> None:
        self.tab = name
        self.query_one(ContentSwitcher).current = name
        self.query_one(TabLine).mark(name)

    @on(TabLine.Wanted)
    def _want(self, event: TabLine.Wanted) -> None:
        event.stop()
        self.action_tab(event.name)

    def action_tab(self, name: str) -> None:
        """Show a tab."""
        inside = self.query_one("#tabs").has_focus_within
        self._turn_to(name)
        self._look()
        if inside:
            self._focus_tab()

    def action_turn(self, by: int) -> None:
        """Show the next tab, or the one before."""
        self.action_tab(TABS[(TABS.index(self.tab) + by) % len(TABS)])

    def _focus_tab(self) -> None:
        tab = self.query_one(f"#{self.tab}")
        if isinstance(tab, Payload):
            tab.focus_shown()
        else:
            tab.focus()

    # -- searching

    @property
    def _searched(self) -> JsonTree | Lines | None:
        tab = self.query_one(f"#{self.tab}")
        return tab.shown if isinstance(tab, Payload) else cast("Lines", tab)

    def action_search(self) -> None:
        """Let a text be typed that is looked for in the tab."""
        if self._searched is not None:
            line = self.query_one("#search", Input)
            line.display = True
            line.value = ""
            line.focus()

    @on(Input.Submitted, "#search")
    def _look_for(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one("#search", Input).display = False
        found = self._searched
        if found is not None:
            found.focus()
            if event.value:
                found.look_for(event.value)

    # -- panes

    def on_resize(self, event: events.Resize) -> None:
        """Put the tabs beside the steps, or below them."""
        self.set_class(event.size.width >= BESIDE, "beside")

    def action_zoom(self) -> None:
        """Give the whole room to the pane that has the keys, or share it again."""
        inside = self.query_one("#details").has_focus_within
        zoomed = self.has_class("only-steps") or self.has_class("only-details")
        self.set_class(not zoomed and not inside, "only-steps")
        self.set_class(not zoomed and inside, "only-details")

    def action_edit(self) -> None:
        """Open the file of the workflow in the editor, where the error or the step is."""
        path, line = self._file
        if path:
            outside.edit(self.app, path, line)
        else:
            self.notify("a shell command has no file", severity="warning", markup=False)

    def action_back(self) -> None:
        """Go from the tab to the steps, and from there to where one came from."""
        search = self.query_one("#search", Input)
        if search.display:
            search.display = False
            self._focus_tab()
        elif self.query_one("#details").has_focus_within:
            self.remove_class("only-details")
            self.steps.focus()
        else:
            self.post_message(self.Left())
