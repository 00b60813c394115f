"""Start a run: a form made from the parameters of a workflow."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from flowctl.cli.render import first_line
from flowctl.cli.targets import Submission
from flowctl.core.errors import UsageError
from flowctl.core.model import Workflow
from flowctl.sdk.errors import InputError
from flowctl.tui.actions import Command, Outcome
from flowctl.tui.parameters import Parameter, input_of, parameters_of
from flowctl.tui.screens.form import Form, Values, whole_number
from flowctl.tui.trouble import told
from flowctl.tui.widgets.field import Field

# Their names begin with what no parameter's does.
_OPTIONS = (
    Field("--queue", "queue", note="that of the workflow", more=True),
    Field("--priority", "priority", note="runs with a higher one start first", more=True),
    Field("--at", "at", note="not before: 09:30, 2026-01-31T09:30", more=True),
    Field("--in", "in", note="not before so long has passed: 90s, 1h30m", more=True),
    Field("--tag", "tags", note="k=v k2=v2", more=True),
    Field("--key", "key", note="the run that has it already is not made again", more=True),
)


class StartForm(Form):
    """One field for each parameter; what is left empty is as its default."""

    def __init__(self, workflows: Sequence[Workflow]) -> None:
        self._workflow = workflow = workflows[0]
        self._parameters = parameters_of(workflow.parameters)
        fields = [_field(each) for each in self._parameters]
        about = first_line(workflow.doc) or ("" if fields else "It has no parameters.")
        super().__init__(f"New run of {workflow.name}", [*fields, *_OPTIONS], about)

    def check(self, values: Values) -> dict[str, str]:
        """Return what does not fit the parameters."""
        found = {each.name: _problem(each, values[each.name]) for each in self._parameters}
        return {name: problem for name, problem in found.items() if problem}

    def command(self, values: Values) -> Command:
        """Return the `flowctl run` that the fields make."""
        options = {name: values[name] for name in (field.name for field in _OPTIONS) if values[name]}
        tags = _words(options.pop("--tag", ""))
        priority = whole_number(options["--priority"], "--priority") if "--priority" in options else None
        Submission(
            at=options.get("--at"),
            delay=options.get("--in"),
            key=options.get("--key"),
            queue=options.get("--queue"),
            priority=priority,
            tags=tuple(tags),
        ).checked()
        words = [word for name, value in options.items() for word in (name, value)]
        words += [word for tag in tags for word in ("--tag", tag)]
        return Command(("run", self._workflow.name, "--input", "-", "--detach", *words), self._input(values))

    def _input(self, values: Values) -> str:
        try:
            return input_of(self._workflow.name, self._parameters, values)
        except InputError as error:
            raise UsageError(error.message, error.hint) from None

    def done(self, outcome: Outcome) -> None:
        """Open the run."""
        self.flowctl.open_run(outcome.answer["run"])


def _field(parameter: Parameter) -> Field:
    default = parameter.default
    absent = (
        "needed" if parameter.required else "may be left out" if default is None else f"default {default or 'empty'}"
    )
    if not parameter.choices:
        note = f"{parameter.kind}, {'empty' if parameter.starts_as else absent}"
        return Field(parameter.name, parameter.name, parameter.starts_as, note, is_long=parameter.is_json)
    choices = parameter.choices if default in parameter.choices else ("", *parameter.choices)
    return Field(parameter.name, parameter.name, value=default or "", choices=choices)


def _problem(parameter: Parameter, text: str) -> str:
    if text == parameter.starts_as:
        return "needed" if parameter.required else ""
    try:
        parameter.read(text)
    except InputError as error:
        return told(error)
    return ""


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--tag: {text[:60]!r} is not understood: {error}", "give k=v k2=v2") from None
