"""What is to be other in a fork: `--set PATH=VALUE`, or the recorded JSON in an editor.

The places are those of one document, {"input": …, "steps": {KEY: {"output": …}}}: a path of --set leads to one of
them, the editor shows it, and --edited takes it. What an edited document leaves out stays as recorded; an output of
the step from which the fork begins answers for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from flowctl.cli.arguments import parse_json, parse_object, read_source
from flowctl.core.errors import UsageError
from flowctl.core.jsonpath import MISSING, Path, parse_path, path_text, value_at, with_value
from flowctl.core.text import shorten

if TYPE_CHECKING:
    from flowctl.core.model import Run, Step
    from flowctl.store import Store

SHOWN_STEPS = 20  # in an editor: the last ones before the step that runs again
SHOWN_OUTPUT = 64 * 1024  # characters
_PAIR = re.compile(r"(.+?)(:?=)(.*)", re.DOTALL)
_PATHS = "input.PARAMETER or steps.KEY.output"


class Assignment(NamedTuple):
    """One --set: a place, and the text that says what is to stand there."""

    path: Path
    text: str
    is_json: bool


def parse_assignment(word: str) -> Assignment:
    """Return what a --set means. Raises UsageError."""
    match = _PAIR.fullmatch(word)
    if match is None:
        raise UsageError(f"--set {shorten(repr(word), 60)} has no value", "write PATH=VALUE or PATH:=JSON")
    place, sign, value = match.groups()
    if value.startswith("@"):
        value = read_source(value[1:], f"the value of {place}", f"for text that begins with @ write {place}:='\"@…\"'")
    path = parse_path(place)
    whole_output = path[0] == "steps" and len(path) >= 3 and path[2] == "output"
    if path[0] != "input" and not whole_output:
        raise UsageError(f"--set {shorten(place, 60)} is no place of a run", f"write {_PATHS}, and more after it")
    return Assignment(path, value, sign == ":=")


class Edits:
    """What of a run is to be other in its fork."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run
        self._input: Any = MISSING
        self._left_out: dict[str, Any] = {}  # the recorded parameters that an edited document does not mention
        self._outputs: dict[str, Any] = {}
        self.texts: dict[str, str] = {}  # parameters, to be read by their types
        self.answer: str | None = None  # JSON text that stands for running the step from which the fork begins

    @property
    def changes_input(self) -> bool:
        """Tell whether the input is to be other."""
        return self._input is not MISSING or bool(self.texts)

    def input(self, parameters: Container[str]) -> str:
        """Return the input as JSON text; parameters that the code still has stay as recorded when they are left out."""
        if self._input is MISSING:
            return self._run.input
        kept = {name: value for name, value in self._left_out.items() if name in parameters}
        return _text(kept | self._input)

    @property
    def outputs(self) -> dict[str, str]:
        """Return the outputs that are to be other, by key of their step, as JSON text."""
        return {key: _text(value) for key, value in self._outputs.items()}

    def assign(self, assignments: Iterable[Assignment]) -> None:
        """Make what --set asks for. Raises UsageError, NotFound."""
        for each in assignments:
            if each.path[0] == "steps":
                key = str(each.path[1])
                self._outputs[key] = _assigned(self._output(key), each, 3)
            elif len(each.path) == 2 and not each.is_json and self._run.path:
                self.texts[str(each.path[1])] = each.text
            else:
                before = json.loads(self._run.input) if self._input is MISSING else self._input
                self._input = _assigned(before, each, 1)
                _require_object(self._input)

    def _output(self, key: str) -> Any:
        from flowctl.cli.references import find_step

        if key not in self._outputs:
            output = find_step(self._store, self._run, key).output
            return MISSING if output is None else json.loads(output)
        return self._outputs[key]

    def document(self, step: Step | None) -> str:
        """Return the JSON that a person may edit: the input, and the outputs of the last steps before that one."""
        return json.dumps(self._shown(step), indent=2, ensure_ascii=False) + "\n"

    def edit(self, step: Step | None) -> None:
        """Have a person edit the document. Raises UsageError when nothing was changed."""
        self.take(_in_editor(self.document(step)), step)

    def take(self, text: str, step: Step | None) -> None:
        """Make what an edited document asks for. Raises UsageError, also when nothing was changed."""
        before, after = self._shown(step), read_document(text)
        for key, shown in after.get("steps", {}).items():
            if step is not None and key == step.key:
                self.answer = _text(shown["output"])
            elif _text(shown) != _text(before["steps"].get(key)):
                self._outputs[key] = shown["output"]
        if "input" in after and _text({**before["input"], **after["input"]}) != _text(before["input"]):
            self._input = after["input"]
            self._left_out = {name: value for name, value in before["input"].items() if name not in self._input}
        if self._input is MISSING and not self._outputs and self.answer is None:
            raise UsageError(
                "nothing was changed in the recorded JSON, so no fork was made",
                "for a fork as it is, leave out --edit and --edited",
            )

    def _shown(self, step: Step | None) -> dict[str, Any]:
        return {"input": json.loads(self._run.input), "steps": self._shown_outputs(step)}

    def _shown_outputs(self, step: Step | None) -> dict[str, Any]:
        if step is None:
            return {}
        steps = self._store.steps.of_run(self._run.id, after_seq=max(0, step.seq - 1 - SHOWN_STEPS), limit=SHOWN_STEPS)
        shown = [each for each in steps if each.seq < step.seq and len(each.output or "") <= SHOWN_OUTPUT]
        return {each.key: {"output": json.loads(each.output)} for each in shown if each.output is not None}


def _assigned(before: Any, assignment: Assignment, depth: int) -> Any:
    """Return a value with what one --set asks for; `depth` parts of its path lead to the value itself."""
    path = assignment.path[depth:]
    now = value_at(before, path)
    new = _read(assignment, now)
    if path and before is MISSING:
        raise UsageError(f"there is no output at {path_text(assignment.path[:depth])[2:]}", "set it as a whole")
    return with_value(before, path, new)


def _read(assignment: Assignment, now: Any) -> Any:
    """Return what the text of a --set stands for: JSON, or a value of the kind that stands there now."""
    where = f"the value of {path_text(assignment.path)[2:]}"
    if assignment.is_json:
        return parse_json(assignment.text, where)
    if isinstance(now, str):
        return assignment.text
    try:
        new = parse_json(assignment.text, where)
    except UsageError:
        new = assignment.text
    kinds = (int, float) if isinstance(now, int | float) and not isinstance(now, bool) else (type(now),)
    if now is MISSING or now is None or (type(new) in kinds):
        return new
    shown = shorten(json.dumps(now, ensure_ascii=False), 60)
    raise UsageError(f"{where} replaces {shown} and is of another kind", "if that is meant, write := and JSON")


def _require_object(value: Any) -> None:
    if not isinstance(value, dict):
        raise UsageError("the input of a run is a JSON object", 'give an object: {"name": value}')


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read_document(text: str) -> dict[str, Any]:
    """Return an edited document, of which places may be missing. Raises UsageError when it is not one of a run."""
    found = parse_object(text, "the edited JSON")
    if not set(found) <= {"input", "steps"} or not isinstance(found.get("steps", {}), dict):
        raise UsageError("the edited JSON is not of a run", f"leave its places as they are: {_PATHS}")
    for key, shown in found.get("steps", {}).items():
        if not isinstance(shown, dict) or set(shown) != {"output"}:
            raise UsageError(f"the edited JSON has something else than an output at steps.{shorten(key, 60)}")
    if "input" in found:
        _require_object(found["input"])
    return found


def _in_editor(text: str) -> str:
    """Return the document that a person makes of a text; one that is none may be edited again."""
    import click

    from flowctl.cli.editor import edited
    from flowctl.cli.terminal import is_terminal

    while True:
        text = edited(text, "fork.json")
        try:
            read_document(text)
        except UsageError as error:
            import sys

            if not is_terminal(sys.stdin):
                raise
            click.echo(f"{error.message}\n{error.hint}", err=True)
            click.confirm("edit it again?", abort=True, default=True, err=True)
        else:
            return text
