"""Options of steps and workflows: what they may be, their defaults, and their form on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable, NamedTuple, Optional

from flowctl.sdk.checks import COUNT_LIMIT, Checks, checked, one_of, whole
from flowctl.sdk.durations import short_text, to_ms
from flowctl.sdk.errors import DefinitionError, GiveUp, Unstorable, shown

NAME_LIMIT = 200
NO_LABEL = "none"  # says on the command line that no label is required


class StepOptions(NamedTuple):
    """How a step is tried. The defaults are those of the wire: what equals them is not sent."""

    name: Optional[str] = None
    retries: int = 0
    backoff_ms: int = 1_000
    max_backoff_ms: int = 300_000
    jitter: float = 0.1
    timeout_ms: Optional[int] = None
    total_timeout_ms: Optional[int] = None
    retry_on: tuple[type[BaseException], ...] = ()
    give_up_on: tuple[type[BaseException], ...] = ()
    on_crash: str = "rerun"
    pure: bool = False
    breaker: Optional[Mapping[str, Any]] = None  # in its wire form
    fallback: Optional[Callable[..., Any]] = None  # of the breaker
    reconcile: Optional[Callable[[str], Any]] = None
    sensitive: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, Any]:
        """Return what the engine has to know, without defaults."""
        return _without_defaults(self, _STEP_WIRE)

    def may_retry(self, error: BaseException) -> bool:
        """Say whether another attempt may follow this failure, if any is left."""
        if isinstance(error, (GiveUp, Unstorable, *self.give_up_on)):
            return False
        return not self.retry_on or isinstance(error, self.retry_on)


class WorkflowOptions(NamedTuple):
    """How runs of a workflow are made. `on_failure` is its wire form."""

    name: Optional[str] = None
    timeout_ms: Optional[int] = None
    attempts: int = 1
    queue: str = "default"
    priority: int = 0
    tags: Mapping[str, str] = {}  # never written to
    on_failure: Optional[Mapping[str, str]] = None
    isolation: str = "shared"
    requires: tuple[str, ...] = ()  # labels that the engine of its runs must have
    when: tuple[str, ...] = ()  # conditions that hold scheduled runs
    schedule: Optional[Mapping[str, Any]] = None  # in its wire form, sent beside the options: it is not its runs'

    def as_json(self) -> dict[str, Any]:
        """Return what the engine has to know, without defaults."""
        return _without_defaults(self, _WORKFLOW_WIRE)


_STEP_WIRE = (
    "retries",
    "backoff_ms",
    "max_backoff_ms",
    "jitter",
    "timeout_ms",
    "total_timeout_ms",
    "on_crash",
    "pure",
    "breaker",
)
_WORKFLOW_WIRE = ("timeout_ms", "attempts", "queue", "priority", "tags", "on_failure", "isolation", "requires", "when")


def step_options(subject: str, given: Mapping[str, Any]) -> StepOptions:
    """Return checked options of a step; `subject` names it in a DefinitionError, such as "@step fetch"."""
    options = _checked(subject, given, _STEP_CHECKS)
    backoff = options.get("backoff_ms", StepOptions().backoff_ms)
    if "max_backoff_ms" not in options:
        options["max_backoff_ms"] = max(backoff, StepOptions().max_backoff_ms)
    elif backoff > options["max_backoff_ms"]:
        longest = short_text(options["max_backoff_ms"])
        raise DefinitionError(f"{subject}: backoff ({short_text(backoff)}) is longer than max_backoff ({longest})")
    if options.get("pure") and options.get("reconcile"):
        raise DefinitionError(f"{subject}: a pure step has no side effects, so there is nothing to reconcile")
    if "fallback" in options.get("breaker", ()):
        options["fallback"] = options["breaker"].pop("fallback")
    return StepOptions(**options)


def workflow_options(subject: str, given: Mapping[str, Any]) -> WorkflowOptions:
    """Return checked options of a workflow; `on_failure` must have its wire form already."""
    return WorkflowOptions(**_checked(subject, given, _WORKFLOW_CHECKS))


def _checked(subject: str, given: Mapping[str, Any], checks: Checks) -> dict[str, Any]:
    try:
        return checked("option", given, checks)
    except ValueError as error:
        raise DefinitionError(f"{subject}: {error}") from None


def _without_defaults(options: Any, fields: Iterable[str]) -> dict[str, Any]:
    defaults = options._field_defaults
    values = {field: getattr(options, field) for field in fields}
    return {field: value for field, value in values.items() if value != defaults[field]}


def check_name(value: Any) -> str:
    """Return a usable name of a step or workflow, or raise ValueError."""
    if not isinstance(value, str) or not value.strip() or len(value) > NAME_LIMIT:
        raise ValueError(f"{shown(value)} is not a name: give text of at most {NAME_LIMIT} characters")
    if not value.isprintable() or value != value.strip() or set(value) & set("#@:/\\") or value.startswith("-"):
        raise ValueError(f"{shown(value)} is not a name: leave out # @ : / \\, a leading - and what does not print")
    return value


def _some_time(value: Any) -> Optional[int]:
    if value is None:
        return None
    amount = to_ms(value)
    if amount == 0:
        raise ValueError("it must be longer than nothing; leave it out for no limit")
    return amount


def _span(value: Any) -> int:
    amount = to_ms(value)
    if amount == 0:
        raise ValueError("it must be longer than nothing")
    return amount


def _fraction(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{shown(value)} is not a fraction from 0 to 1")
    return float(value)


def _exceptions(value: Any) -> tuple[type[BaseException], ...]:
    kinds = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ValueError(f"{shown(kind)} is not an exception type")
    return kinds


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not True or False")
    return value


def _function(value: Any) -> Callable[..., Any]:
    if not callable(value):
        raise ValueError(f"{shown(value)} is not a function")
    return value  # type: ignore[no-any-return]


def _breaker(value: Any) -> dict[str, Any]:
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or "name" not in given:
        raise ValueError(f'{shown(value)} is not a name, or a dict with "name"')
    breaker = checked("option", given, _BREAKER_CHECKS)
    if "fallback" in breaker and breaker.setdefault("open", "fail") == "wait":
        raise ValueError('a step with a fallback does not wait: leave out "open", or say "fail"')
    return breaker


def _names(value: Any) -> frozenset[str]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, (tuple, list, set, frozenset)) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{shown(value)} is not a parameter name or several of them")
    return frozenset(names)


def _tags(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise ValueError(f"{shown(value)} is not a dict of text to text")
    return dict(value)


def _labels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (tuple, list)) or not all(
        isinstance(label, str) and label.strip() and label.isprintable() for label in value
    ):
        raise ValueError(f'{shown(value)} is not a list of labels such as ["gpu"]')
    if NO_LABEL in value:
        raise ValueError(f"'{NO_LABEL}' is not a label: it stands for having none")
    return tuple(dict.fromkeys(value))


def _conditions(value: Any) -> tuple[str, ...]:
    from flowctl.sdk.conditions import conditions

    return conditions(value)


def _schedule(value: Any) -> Optional[dict[str, Any]]:
    if value is None:
        return None
    from flowctl.sdk.rhythm import schedule_fields

    return schedule_fields(value)


def _as_it_is(value: Any) -> Any:
    return value


_STEP_CHECKS: Checks = {
    "name": ("name", check_name),
    "retries": ("retries", whole(0)),
    "backoff": ("backoff_ms", to_ms),
    "max_backoff": ("max_backoff_ms", to_ms),
    "jitter": ("jitter", _fraction),
    "timeout": ("timeout_ms", _some_time),
    "total_timeout": ("total_timeout_ms", _some_time),
    "retry_on": ("retry_on", _exceptions),
    "give_up_on": ("give_up_on", _exceptions),
    "on_crash": ("on_crash", one_of("rerun", "block")),
    "pure": ("pure", _yes_or_no),
    "breaker": ("breaker", _breaker),
    "reconcile": ("reconcile", _function),
    "sensitive": ("sensitive", _names),
}
_BREAKER_CHECKS: Checks = {
    "name": ("name", check_name),
    "failures": ("failures", whole(1)),
    "window": ("window_ms", _span),
    "cooldown": ("cooldown_ms", _span),
    "open": ("open", one_of("wait", "fail")),
    "fallback": ("fallback", _function),
}
_WORKFLOW_CHECKS: Checks = {
    "name": ("name", check_name),
    "timeout": ("timeout_ms", _some_time),
    "attempts": ("attempts", whole(1)),
    "queue": ("queue", check_name),
    "priority": ("priority", whole(-COUNT_LIMIT)),
    "tags": ("tags", _tags),
    "on_failure": ("on_failure", _as_it_is),
    "isolation": ("isolation", one_of("shared", "process")),
    "requires": ("requires", _labels),
    "when": ("when", _conditions),
    "schedule": ("schedule", _schedule),
}
