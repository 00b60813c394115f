"""The steps of a run as a tree, beside a timeline to scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer

from flowctl.cli.instants import local, short
from flowctl.cli.words import look
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.listing import StepLine
from flowctl.core.model import Run
from flowctl.core.text import safe_line, shorten
from flowctl.tui.run_tree import Node, Place, RunSteps, Span, Tree
from flowctl.tui.timeline import Scale, line, ruler
from flowctl.tui.widgets.rows import Piece, Rows

MOVING = frozenset({"running", "sleeping", "waiting"})
_STATE, _TOOK = 11, 8
_LONGEST = 200  # characters of a key that are drawn


class Steps(Rows):
    """One row for the run, and one for each step, group of branches, attempt, and step of an unfolded child run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "unfold(True)", "Unfold", show=False),
        Binding("left", "unfold(False)", "Fold", show=False),
        Binding("space", "fold", "Fold", show=False),
    ]
    titled = True

    class Entered(Message):
        """What is under the cursor is to be looked at."""

    class Unfolded(Message):
        """A child run was unfolded, whose steps are to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.run_tree = Tree(0)
        self.run: Run | None = None
        self._scale = Scale(0, 1)
        self._bounds = (0, 0)  # of what is known of the run itself
        self._tick: Timer | None = None

    def on_mount(self) -> None:
        """Make the clock by which a run that goes on grows."""
        self._tick = self.set_interval(1.0, self._grow, pause=True)

    # -- what it shows

    @property
    def node(self) -> Node | None:
        """Return the row under the cursor."""
        return self.row if isinstance(self.row, Node) else None

    @property
    def own_key(self) -> str | None:
        """Return the key of the run's own step under the cursor, or of the one whose child run the cursor is in."""
        for node in reversed(self.rows[: self.cursor + 1]):
            if node.place.run == self.run_tree.number and node.place.kind != "attempt":
                return node.place.key if node.place.kind == "step" else None
        return None

    def begin(self, number: int) -> None:
        """Begin with a run of which nothing is known yet."""
        self.run_tree, self.run = Tree(number), None
        self.put((), 0)

    def show_run(self, run: Run, known: Mapping[int, RunSteps], at: Place | None = None) -> None:
        """Show what is known of a run and of its children, with the cursor where it was, or at a place."""
        self.run = run
        self.run_tree.runs = dict(known)
        if at is not None:
            self.run_tree.unfold_to(at.key)
        here = at or (self.node.place if self.node is not None else None)
        self._lay_out(here)
        if self._tick is not None:
            (self._tick.resume if run.state in MOVING else self._tick.pause)()

    def _lay_out(self, here: Place | None) -> None:
        nodes = self.run_tree.nodes()
        self._measure()
        at = 0
        if here is not None:
            stays = self.cursor < len(nodes) and nodes[self.cursor].place == here
            places = () if stays else enumerate(nodes)
            at = next((at for at, node in places if node.place == here), self.cursor)
        self.put(nodes, at)
        self.post_message(self.Moved(self))

    def _measure(self) -> None:
        run = self.run
        if run is None:
            return
        start = run.started_at if run.started_at is not None else run.created_at
        own = [step for step in self.run_tree.runs[run.id].steps if not step.shared]
        begun = min((step.begun_at for step in own), default=start)
        ended = max((step.finished_at or step.started_at for step in own), default=start)
        self._bounds = min(start, begun), max(start + 1, ended)
        self._scale_to_now()

    def _scale_to_now(self) -> None:
        run, (first, last) = self.run, self._bounds
        if run is not None:
            now = SYSTEM_CLOCK.now() if run.state in MOVING else run.finished_at or run.changed_at
            self._scale = Scale(first, max(now, last))

    def _grow(self) -> None:
        self._scale_to_now()
        self.refresh()

    # -- folding

    def action_choose(self) -> None:
        """Unfold what is folded, or look at what is under the cursor."""
        if self.node is not None and self.node.open is False:
            self.action_fold()
        else:
            self.post_message(self.Entered())

    def action_fold(self) -> None:
        """Fold or unfold what is under the cursor."""
        node = self.node
        if node is None or node.open is None:
            return
        self.run_tree.toggle(node.place)
        self._lay_out(node.place)
        if node.child is not None and not node.open:
            self.post_message(self.Unfolded())

    def action_unfold(self, wanted: bool) -> None:
        """Unfold what is under the cursor; or fold it, or what it is part of."""
        node = self.node
        if node is None:
            return
        if node.open is (not wanted):
            self.action_fold()
        elif not wanted:
            above = (at for at in range(self.cursor - 1, -1, -1) if self.rows[at].depth < node.depth)
            self.cursor = next(above, self.cursor)

    def clicked(self, x: int) -> None:
        """Fold or unfold by a click on the sign."""
        if self.node is not None and x // 2 == self.node.depth:
            self.action_fold()

    # -- drawing

    def _widths(self, width: int) -> tuple[int, int]:
        """Return the cells of names and of the timeline."""
        left = width - _STATE - _TOOK - 4
        name = min(48, max(16, left * 3 // 5))
        return name, left - name

    def title(self, width: int) -> Iterable[Piece]:
        """Return the titles, and the scale of the timeline."""
        name, time = self._widths(width)
        return [(f"{'  STEP':<{name}} {'STATE':<{_STATE}} {'TOOK':>{_TOOK}}  {ruler(self._scale, max(0, time))}", "")]

    def draw(self, row: Node, width: int) -> Iterable[Piece]:
        """Return a row of the tree."""
        name_width, time_width = self._widths(width)
        state, took, spans = self._standing(row)
        style = look(_icon_of(state)).style
        fold = " " if row.open is None else ("▾" if row.open else "▸")
        head = f"{'  ' * min(row.depth, 8)}{fold} {look(_icon_of(state)).icon} "
        name, note = self._named(row)
        room = max(0, name_width - cell_len(head))
        yield head, style
        shown = _fitted(name, room)
        yield shown, "" if row.place.kind in ("run", "step") else "bright_black"
        left = room - cell_len(shown)
        yield _padded(f" {note}" if cell_len(note) < left else "", left), "bright_black"
        yield f" {state:<{_STATE}}"[: _STATE + 1], style
        yield f" {took:>{_TOOK}}  ", ""
        yield from line(spans, self._scale, time_width, style or "default")

    def _standing(self, row: Node) -> tuple[str, str, list[Span]]:
        """Return the state of a row in a word, how long it took, and its spans."""
        if row.one is not None:
            return row.one.state, short(_took(row.one.started_at, row.one.finished_at)), [row.one.span]
        if row.branches:
            first, last = row.branches[0].begun_at, _last_end(row.branches)
            spans = [span for step in row.branches for span in self.run_tree.runs[row.place.run].spans(step)]
            return _state_of_all(row.branches), short(_took(first, last)), [] if row.open else spans
        if row.step is not None:
            spans = [] if row.step.shared else self.run_tree.runs[row.place.run].spans(row.step)
            return _state_word(row.step), _took_of(row.step), spans
        run = self.run
        assert run is not None  # rows are there only with their run
        if run.started_at is None:
            return run.state, "", []
        end = run.finished_at if run.finished_at is not None or run.state in MOVING else run.changed_at
        return run.state, short(_took(run.started_at, end)), [Span(run.started_at, end, "waited")]

    def _named(self, row: Node) -> tuple[str, str]:
        """Return the name of a row, and what there is to say of it."""
        if row.one is not None:
            return f"attempt {row.one.attempt}", ""
        if row.branches:
            return f"{len(row.branches)} branches", ""
        if row.step is None:
            assert self.run is not None
            return f"run {self.run.id} {self.run.workflow}", ""
        step = row.step
        notes = [
            f"run {row.child}" if row.child is not None else "",
            "shared" if step.shared else "",
            f"said by {step.said_by}" if step.said_by is not None else "",
            f"attempt {step.attempt}" if step.attempt > 1 else "",
        ]
        return step.key, ", ".join(filter(None, notes))


def _state_word(step: StepLine) -> str:
    if step.state != "running":
        return step.state
    if step.kind in ("signal", "child"):
        return "waiting"
    if step.wake_at is None:
        return "running"
    return "sleeping" if step.kind == "sleep" else "backing off"


def _icon_of(word: str) -> str:
    return "sleeping" if word == "backing off" else word


def _state_of_all(steps: Iterable[StepLine]) -> str:
    words = {_state_word(step) for step in steps}
    order = ("running", "backing off", "waiting", "sleeping", "interrupted", "failed", "cancelled")
    return next((word for word in order if word in words), "succeeded")


def _last_end(steps: Iterable[StepLine]) -> int | None:
    ends: Iterator[int | None] = (step.finished_at for step in steps)
    last = 0
    for end in ends:
        if end is None:
            return None
        last = max(last, end)
    return last


def _took(start: int, end: int | None) -> int:
    return (SYSTEM_CLOCK.now() if end is None else end) - start


def _took_of(step: StepLine) -> str:
    """Return how long a step took; of one that waits for an instant, that instant."""
    if step.finished_at is None and step.wake_at is not None:
        return local(step.wake_at)[11:]
    return short(_took(step.begun_at, step.finished_at))


def _fitted(text: str, width: int) -> str:
    """Return a text made safe, in at most so many cells."""
    shown = safe_line(shorten(text, _LONGEST))
    return shown if cell_len(shown) <= width else set_cell_size(shown, max(0, width - 1)) + "…"[: max(0, width)]


def _padded(text: str, width: int) -> str:
    return set_cell_size(_fitted(text, width), max(0, width))
