"""A workflow as others see it: its description, and arguments from a command line turned into its input."""

from __future__ import annotations

from typing import Any, Container, Iterable, Mapping, Optional

from flowctl.sdk.checks import nearest
from flowctl.sdk.definition import Workflow
from flowctl.sdk.errors import InputError, Unreadable, Unstorable, shown
from flowctl.sdk.hints import codec_for
from flowctl.sdk.jsontext import parse_json
from flowctl.sdk.schema import hint_of, parameters_schema
from flowctl.sdk.signature import Signature
from flowctl.sdk.texts import misfit_of, parse_text, spelled


def describe(workflow: Workflow[Any, Any]) -> dict[str, Any]:
    """Return name, function, doc, parameters, options and schedule of a workflow as plain JSON."""
    return {
        "name": workflow.name,
        "function": workflow.function.__name__,
        "doc": _clean_doc(workflow.__doc__ or ""),
        "parameters": parameters_schema(workflow.signature),
        "options": workflow.options.as_json(),
        "schedule": workflow.options.schedule,
    }


def bind_arguments(workflow: Workflow[Any, Any], texts: Mapping[str, str], json_text: Optional[str]) -> str:
    """Return the input of a run as JSON text, from a JSON object and from texts by parameter name.

    A text is read by its parameter's type; one whose name ends in ":" is JSON. A text wins over the object.
    Raises InputError, which names the parameter, the type wanted and the value given.
    """
    signature = workflow.signature
    values = _from_object(signature, json_text) if json_text is not None else {}
    for key, text in texts.items():
        name = key[:-1] if key.endswith(":") else key
        _check_name(signature, name)
        hint = hint_of(signature, name)
        values[name] = read_json(name, hint, text) if key.endswith(":") else read_text(name, hint, text)
    defaults = signature.shape.defaults
    check_missing(signature.name, [name for name in signature.shape.names() if name not in defaults], values)
    whole = {name: values[name] if name in values else defaults[name] for name in signature.shape.names()}
    try:
        return signature.encode(whole)[0]
    except Unstorable as refusal:
        raise InputError(str(refusal)) from None


def _from_object(signature: Signature, text: str) -> dict[str, Any]:
    try:
        given = parse_json(text)
    except ValueError as error:
        raise InputError(f"the input is not JSON: {error}") from None
    if not isinstance(given, dict):
        example = ", ".join(f'"{name}": …' for name in signature.shape.names())
        raise InputError(f"the input must be a JSON object, not {shown(given)}", f"give {{{example}}}")
    for name in given:
        _check_name(signature, name)
    return {name: _decoded(name, hint_of(signature, name), plain) for name, plain in given.items()}


def read_json(name: str, hint: Any, text: str) -> Any:
    """Return the value of a parameter that is given as JSON. Raises InputError."""
    try:
        plain = parse_json(text)
    except ValueError as error:
        raise InputError(f"parameter {name}: {shown(text)} is not JSON: {error}", f"or as text: {name}=…") from None
    return _decoded(name, hint, plain)


def _decoded(name: str, hint: Any, plain: Any) -> Any:
    try:
        value = codec_for(hint).get(plain)
    except Unreadable as refusal:
        raise InputError(f"parameter {name}: {refusal}") from None
    except RecursionError:
        raise InputError(f"parameter {name}: its value is nested too deeply") from None
    wrong = misfit_of(value, hint)
    if wrong:
        raise InputError(f"parameter {name}: {wrong}")
    return value


def read_text(name: str, hint: Any, text: str) -> Any:
    """Return the value of a parameter that is given as text. Raises InputError."""
    try:
        value = parse_text(text, hint)
    except (ValueError, ArithmeticError) as error:  # Unreadable is a ValueError
        why = f": {error}" if str(error) else ""
        raise InputError(f"parameter {name} must be {spelled(hint)}, not {shown(text)}{why}") from None
    wrong = misfit_of(value, hint)
    if wrong:
        raise InputError(f"parameter {name} must be {spelled(hint)}: {wrong}")
    return value


def _check_name(signature: Signature, name: str) -> None:
    known = signature.shape.names()
    if name in known:
        return
    near = nearest(name, known)
    listed = f"it has {', '.join(known)}" if known else "it has none"
    hint = f"did you mean {near}?" if near else listed
    raise InputError(f"{signature.name} has no parameter {name}", hint)


def check_missing(workflow: str, required: Iterable[str], values: Container[str]) -> None:
    """Raise InputError that names the parameters which have no value."""
    missing = [name for name in required if name not in values]
    if missing:
        listed = " and ".join(filter(None, [", ".join(missing[:-1]), missing[-1]]))
        what = "parameters" if len(missing) > 1 else "parameter"
        raise InputError(f"{workflow} needs the {what} {listed}", "give " + " ".join(f"{name}=…" for name in missing))


def _clean_doc(doc: str) -> str:
    """Return a docstring without its indentation."""
    lines = doc.expandtabs().strip().splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    return "\n".join([*lines[:1], *(line[margin:].rstrip() for line in lines[1:])])
