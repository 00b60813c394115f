"""Fork: the recorded JSON of a run is edited, and a new run goes on with it."""

from __future__ import annotations

import json
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static, TextArea

from flowctl.cli.arguments import parse_json
from flowctl.cli.edits import Edits, read_document
from flowctl.cli.references import find_step
from flowctl.core.text import safe_json
from flowctl.store import Store
from flowctl.tui import outside
from flowctl.tui.actions import Outcome
from flowctl.tui.screens.decision import Decision
from flowctl.tui.widgets.given import Given, Tick

EDITED_HERE = 256 * 1024  # characters: more are only for an editor


class ForkForm(Decision):
    """A fork of a run, before one of its steps or from the beginning."""

    keys = "ctrl+s start   ctrl+e open in $EDITOR   tab next field   ctrl+y copy the command   Esc back"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+e", "edit", "Open in $EDITOR", show=False, priority=True),
    ]

    def __init__(self, run: int, step: str | None) -> None:
        super().__init__(f"Fork run {run}, {f'before step {step}' if step else 'from the beginning'}")
        self._run = run
        self._step = step
        self._recorded = self._text = ""

    def compose_fields(self) -> ComposeResult:
        """Yield the recorded JSON, the answer for the step, and which code it is to be."""
        yield TextArea(id="document", tab_behavior="focus", show_line_numbers=True, soft_wrap=False, compact=True)
        yield Static(markup=False, id="long")
        if self._step is not None:
            yield Given("answer for the step instead of running it, as JSON", id="answer")
        yield Tick("with the code that the run has, not the newest", id="same-code")

    async def load(self) -> None:
        """Read the recorded JSON."""

        def question(store: Store) -> str:
            run = store.runs.get(self._run)
            step = None if self._step is None else find_step(store, run, self._step)
            return safe_json(Edits(store, run).document(step).rstrip("\n"))

        self._recorded = await self.ask(question)
        self._show(self._recorded)
        self.query_one("#document", TextArea).focus()

    def _show(self, text: str) -> None:
        self._text = text
        here = len(text) <= EDITED_HERE
        area, note = self.query_one("#document", TextArea), self.query_one("#long", Static)
        area.display, note.display = here, not here
        if here:
            area.load_text(text)
        else:
            note.update(f"{len(text):,} characters of JSON are too many for this place: ctrl+e opens them in $EDITOR")
        self.look()

    @on(TextArea.Changed, "#document")
    def _typed(self, event: TextArea.Changed) -> None:
        self._text = event.text_area.text

    def action_edit(self) -> None:
        """Edit the JSON in $VISUAL or $EDITOR."""
        text = outside.edit_text(self.app, self._text, "fork.json")
        if text is not None:
            self._show(text)

    @property
    def _edited(self) -> bool:
        return self._text != self._recorded

    @property
    def _answer(self) -> str:
        return "" if self._step is None else self.query_one("#answer", Given).text.strip()

    def words(self) -> tuple[str, ...]:
        """Return the words of the command."""
        words = ["fork", str(self._run)] + ([] if self._step is None else ["--from", self._step])
        words += ["--edited", "-"] if self._edited else ["--output", "-"] if self._answer else []
        words += ["--same-code"] if self.query_one("#same-code", Tick).value else []
        return (*words, "--detach")

    def given(self) -> str | None:
        """Return the edited JSON, in which the answer is the output of the step itself, or the answer alone."""
        document = read_document(self._text)
        if not self._answer:
            return self._text if self._edited else None
        answer = parse_json(self._answer, "the answer")
        if not self._edited:
            return self._answer
        document.setdefault("steps", {})[self._step] = {"output": answer}
        return json.dumps(document)

    def done(self, outcome: Outcome) -> None:
        """Open the new run."""
        self.flowctl.open_run(outcome.answer["run"])
