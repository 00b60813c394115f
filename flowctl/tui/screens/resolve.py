"""Resolve: what blocks a run, and what a person may decide about it."""

from __future__ import annotations

import re
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from flowctl.cli.arguments import parse_json
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.model import Step
from flowctl.core.policy import step_in_doubt
from flowctl.core.text import safe, shorten
from flowctl.engine.why import why_run
from flowctl.store import Store
from flowctl.tui.screens.decision import Decision
from flowctl.tui.widgets.given import Given, Tick

SHOWN = 2_000  # characters of a step's input
_PLACE = re.compile(r'step (\d+) "')  # in the reason of a run that is blocked by a mismatch


class Choice(NamedTuple):
    """One decision: what it is called, its options, and what has to be said for it."""

    title: str
    options: tuple[str, ...]
    asks: str = ""  # what is to be typed; nothing when empty


UNKNOWN = (
    Choice("It was done, and this is its output", ("--done", "-"), "its output, as JSON"),
    Choice("It has failed, and this is why", ("--fail",), "why it has failed"),
    Choice("Run it again", ("--retry",)),
)
CHANGED = (
    Choice("Retry with the newest code of its file", ()),
    Choice("Retry with the code it started with", ("--same-code",)),
    Choice("Retry, and reuse what is recorded although it has changed", ("--accept",)),
    Choice("Retry, and run this step and all after it again", ("--from",), "key or number of the step"),
)


class _Found(NamedTuple):
    """What is known of a blocked run."""

    sentence: str
    state: str
    place: str  # the number of the step where record and code part, '' when there is none
    in_doubt: str | None  # key of the step of which nobody knows the outcome
    step: Step | None  # that step


class ResolveForm(Decision):
    """A decision about a blocked run."""

    keys = "Enter choose, and send   tab next field   ctrl+y copy the command   Esc back"

    def __init__(self, run: int) -> None:
        super().__init__(f"Resolve run {run}")
        self._run = run
        self._step: str | None = None
        self._choices: tuple[Choice, ...] = CHANGED

    def compose_fields(self) -> ComposeResult:
        """Yield what blocks it, the decisions, and what is to be said for the chosen one."""
        with VerticalScroll(id="reason"):
            yield Static(markup=False, id="blocked")
        yield OptionList(id="choices", markup=False, compact=True)
        yield Given("", id="given")
        yield Tick("with the code that the run has, not the newest", id="same-code")

    async def load(self) -> None:
        """Read what blocks the run."""
        found = await self.ask(lambda store: _found(store, self._run))
        if found.state != "blocked":
            raise UsageError(f"run {self._run} is {found.state}: nothing blocks it", "Esc goes back")
        self._step = found.in_doubt
        self._choices = CHANGED if self._step is None else UNKNOWN
        self.query_one("#blocked", Static).update(safe(_told(found)))
        choices = self.query_one("#choices", OptionList)
        choices.add_options([Option(choice.title) for choice in self._choices])
        choices.highlighted = 0
        choices.focus()
        self.query_one("#same-code").display = self._step is not None
        if self._step is None:
            self.query_one("#given", Given).load_text(found.place)

    @property
    def _choice(self) -> Choice:
        return self._choices[self.query_one("#choices", OptionList).highlighted or 0]

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        given = self.query_one("#given", Given)
        given.placeholder = self._choice.asks
        given.display = bool(self._choice.asks)
        self.look()

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        if self._choice.asks:
            self.query_one("#given", Given).focus()
        else:
            self.action_submit()

    def words(self) -> tuple[str, ...]:
        """Return the words of the command."""
        head = ["retry", str(self._run)] if self._step is None else ["resolve", str(self._run), self._step]
        said = [self._typed or "…"] if self._said_in_words else []
        same = ["--same-code"] if self._step is not None and self.query_one("#same-code", Tick).value else []
        return (*head, *self._choice.options, *said, *same, "--detach")

    def given(self) -> str | None:
        """Return the output of a step that was done. Raises UsageError."""
        if self._choice.asks and not self._typed:
            raise UsageError(f"say {self._choice.asks}")
        if "--done" not in self._choice.options:
            return None
        parse_json(self._typed, "the output")
        return self._typed

    @property
    def _typed(self) -> str:
        return self.query_one("#given", Given).text.strip()

    @property
    def _said_in_words(self) -> bool:
        return bool(self._choice.asks) and "--done" not in self._choice.options


def _found(store: Store, number: int) -> _Found:
    run = store.runs.get(number)
    key = step_in_doubt(run.reason)
    place = _PLACE.search(run.reason or "")
    return _Found(
        why_run(store, run, SYSTEM_CLOCK.now()).sentence,
        run.state,
        place[1] if place is not None else "",
        key,
        None if key is None else store.steps.get(run.id, key),
    )


def _told(found: _Found) -> str:
    """Return what blocks a run, and what is recorded of the step whose outcome nobody knows."""
    facts = [found.sentence]
    if found.step is not None:
        facts.append(f"its input: {shorten(found.step.input, SHOWN)}")
        facts += [f"begun elsewhere: {found.step.external_id}"] if found.step.external_id else []
    return "\n".join(facts)
