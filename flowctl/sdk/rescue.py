"""What is called when something fails: the fallback of a step whose breaker is open, the on_failure of a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from flowctl.sdk.definition import BoundCall, FunctionCall, Step, Workflow
from flowctl.sdk.errors import DefinitionError, StepFailed
from flowctl.sdk.signature import shape_of

if TYPE_CHECKING:
    from flowctl.sdk.signature import Shape


def handler_of(subject: str, handler: Any) -> dict[str, str]:
    """Return the wire form of a workflow that is to run when another has failed. Raises DefinitionError."""
    if not isinstance(handler, Workflow):
        raise DefinitionError(f"{subject}: on_failure: give another @workflow function")
    parameters = shape_of(handler.function).names()
    if len(parameters) != 1:
        count = len(parameters)
        raise DefinitionError(f"{subject}: on_failure: {handler.name} has {count} parameters, and it gets exactly one")
    return {
        "path": handler.path,
        "function": handler.function.__name__,
        "workflow": handler.name,
        "parameter": parameters[0],
    }


def fallback_of(step: Step[Any, Any], given: Union[Callable[..., Any], Step[Any, Any]]) -> Step[Any, Any]:
    """Return what stands in for a step as a step of its own: NAME-fallback. Raises DefinitionError."""
    subject = f"@step {step.name}: breaker: fallback"
    if isinstance(given, Workflow):
        raise DefinitionError(f"{subject}: {given.name} is a workflow; give a function or a @step")
    function, options = (given.function, given.given) if isinstance(given, Step) else (given, {})
    made: Step[Any, Any] = Step(function, {**options, "name": f"{step.name}-fallback"})
    ours, theirs = shape_of(step.function), shape_of(function)
    if not _takes(theirs, ours):
        has = f"({', '.join(theirs.names())}), not ({', '.join(ours.names())})"
        raise DefinitionError(f"{subject}: it is called with the arguments of {step.name}, and takes {has}")
    return made


def _takes(theirs: Shape, ours: Shape) -> bool:
    """Tell whether one function takes all arguments of another: by position in the same order, others by name."""
    if (len(theirs.positional) < len(ours.positional) or ours.rest) and not theirs.rest:
        return False
    named = {*theirs.positional[len(ours.positional) :], *theirs.keyword_only}
    if (not named.issuperset(ours.keyword_only) or ours.extra) and not theirs.extra:
        return False
    return named.difference(theirs.defaults).issubset(ours.keyword_only)


def instead_of(call: BoundCall[Any], failure: StepFailed) -> Optional[FunctionCall[Any]]:
    """Return the call that is made because a breaker is open, or None: the failure is another, or there is no fallback.

    It has the arguments and the recorded input of the call that failed, and returns what that would have returned.
    """
    if failure.type != "BreakerOpen" or not isinstance(call, FunctionCall) or not isinstance(call.callee, Step):
        return None
    fallback = call.callee.fallback
    return None if fallback is None else FunctionCall(fallback, call.values, call.signature)
