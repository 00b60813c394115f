"""`@workflow` and `@step`: functions that are recorded when a run calls them, and plain functions otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, Protocol, TypeVar, Union, overload

from flowctl.sdk.context import current
from flowctl.sdk.coroutines import finish
from flowctl.sdk.errors import DefinitionError, NotFinished, StepFailed
from flowctl.sdk.options import StepOptions, WorkflowOptions, check_name, step_options, workflow_options

R = TypeVar("R")
if TYPE_CHECKING:
    from collections.abc import Coroutine

    from typing_extensions import ParamSpec

    from flowctl.sdk.codec import Codec
    from flowctl.sdk.durations import Duration
    from flowctl.sdk.signature import Signature

    P = ParamSpec("P")
    Errors = Union[type[Exception], tuple[type[Exception], ...]]
else:
    P = TypeVar("P")  # ParamSpec came with Python 3.10

_ASYNC = 0x80  # inspect.CO_COROUTINE
_GENERATOR = 0x20 | 0x200  # inspect.CO_GENERATOR and CO_ASYNC_GENERATOR


class BoundCall(ABC, Generic[R]):
    """A call that is ready to be made. Commands, sleeps and recorded values are other kinds of it."""

    __slots__ = ()

    @property
    @abstractmethod
    def kind(self) -> str:
        """The kind of the recorded step: step, child, shell, signal, sleep, value."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the recorded step; its key is the name plus an ordinal."""

    @property
    def output(self) -> Codec:
        """The codec of what it returns."""
        from flowctl.sdk.codec import ANY

        return ANY

    @property
    def source_hash(self) -> Optional[str]:
        """Hex text that changes with the definition, or None when there is no source to tell."""
        return None

    @property
    def wire_options(self) -> Mapping[str, Any]:
        """The options for the wire, without defaults."""
        return {}

    @property
    def wire_fields(self) -> Mapping[str, Any]:
        """What else the `step` message carries."""
        return {}

    @abstractmethod
    def encode_input(self) -> tuple[str, str]:
        """Return the input as JSON text, without sensitive values, and its hash in hex. Raises Unstorable."""

    @abstractmethod
    def run(self) -> Any:
        """Do the work once. An async body is run to its end."""

    @abstractmethod
    def run_plain(self) -> Any:
        """Do the work as a plain call, outside of any record."""

    def reconcile(self, external_id: str) -> Any:  # noqa: ARG002  # most kinds cannot tell
        """Return what the work with that external id has come to. Raises NotFinished when the body is to run again."""
        raise NotFinished

    def retries_on(self, error: BaseException) -> bool:  # noqa: ARG002  # most kinds do not look
        """Say whether another attempt may follow this failure, if any is left."""
        return False

    def failure(self, key: str, error: Mapping[str, str]) -> StepFailed:
        """Return the recorded failure of the step as its caller gets it."""
        return StepFailed(key, error)

    def decode_output(self, text: str) -> Any:
        """Return what the caller gets: the same live and on replay. Raises Unreadable."""
        return self.output.decode(text)


class FunctionCall(BoundCall[R]):
    """A bound call of a step or workflow, its arguments by name."""

    __slots__ = ("_text", "callee", "signature", "values")

    def __init__(
        self, callee: Union[Step[Any, R], Workflow[Any, R]], values: Mapping[str, Any], signature: Signature
    ) -> None:
        self.callee = callee
        self.values = values
        self.signature = signature  # of the values and of what it returns; a fallback has that of its step
        self._text: Optional[str] = None

    def __repr__(self) -> str:
        return f"<call of {self.callee.name}>"

    @property
    def kind(self) -> str:
        """The kind of the recorded step: step or child."""
        return self.callee.kind

    @property
    def name(self) -> str:
        """The name of the recorded step; its key is the name plus an ordinal."""
        return self.callee.name

    @property
    def output(self) -> Codec:
        """The codec of what the function returns."""
        return self.signature.output

    @property
    def source_hash(self) -> Optional[str]:
        """Hex text that changes with the definition of a step, or None."""
        return self.callee.source_hash

    @property
    def wire_options(self) -> Mapping[str, Any]:
        """The options of a step for the wire, without defaults."""
        return self.callee.wire_options

    @property
    def wire_fields(self) -> Mapping[str, Any]:
        """What the engine has to know to start a child run."""
        return self.callee.wire_fields

    def encode_input(self) -> tuple[str, str]:
        """Return the input as JSON text, without sensitive values, and its hash in hex. Raises Unstorable."""
        self._text, digest = self.signature.encode(self.values)
        return self._text, digest.hex()

    def run(self) -> Any:
        """Run the function once. What it could change of its arguments is a copy, made from the encoded input."""
        if self._text is None:
            self.encode_input()
        values = self.signature.separate(self.values, self._text or "")
        return finish(self.signature.call(self.callee.function, values))

    def run_plain(self) -> Any:
        """Run the function as a plain call."""
        return finish(self.signature.call(self.callee.function, self.values), plain=True)

    def reconcile(self, external_id: str) -> Any:
        """Ask the step's own function what has come of the work with that external id. Raises NotFinished."""
        ask = self.callee.options.reconcile if isinstance(self.callee, Step) else None
        return super().reconcile(external_id) if ask is None else finish(ask(external_id))

    def retries_on(self, error: BaseException) -> bool:
        """Say whether another attempt of the step may follow this failure, if any is left."""
        return isinstance(self.callee, Step) and self.callee.options.may_retry(error)


class _Callable(Generic[P, R]):
    """What steps and workflows share: a function, its compiled signature, and calls that a runtime may record."""

    name: str
    _sensitive: frozenset[str] = frozenset()

    def __init__(self, function: Callable[..., Any], decorator: str) -> None:
        _check_function(function, decorator)
        update_wrapper(self, function)
        self.function = function
        self._compiled: Optional[Signature] = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it: recorded inside a run, plain everywhere else."""
        runtime = current()
        if runtime is None:
            return finish(self.function(*args, **kwargs), plain=True)  # type: ignore[no-any-return]
        return runtime.call(self.bind(*args, **kwargs))  # type: ignore[no-any-return]

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> BoundCall[R]:
        """Return the call without making it, for `gather`. TypeError when the arguments do not fit."""
        signature = self.signature
        return FunctionCall(self, signature.bind(args, kwargs), signature)  # type: ignore[arg-type]

    @property
    def signature(self) -> Signature:
        """The compiled parameters."""
        if self._compiled is None:
            from flowctl.sdk.signature import Signature  # with the codec: a plain call needs neither

            self._compiled = Signature(self.function, self.name, self._sensitive)
        return self._compiled


class Step(_Callable[P, R]):
    """A function whose calls inside a run are recorded as steps."""

    kind = "step"
    wire_fields: Mapping[str, Any] = {}

    def __init__(self, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
        super().__init__(function, "@step")
        self.options: StepOptions = step_options(f"@step {_name_of(function)}", given)
        self.name = self.options.name or _default_name(function, "@step")
        self.wire_options: Mapping[str, Any] = self.options.as_json()
        self.given = given
        self._source: Union[str, bool, None] = False  # False: not asked for yet
        self._sensitive = self.options.sensitive
        if self._sensitive:
            self._check_sensitive()
        self.fallback: Optional[Step[Any, Any]] = None  # called when its breaker is open
        if self.options.fallback is not None:
            from flowctl.sdk.rescue import fallback_of

            self.fallback = fallback_of(self, self.options.fallback)

    def with_options(self, **options: Any) -> Step[P, R]:
        """Return the same step with other options, for one call or for many."""
        other: Step[P, R] = Step(self.function, {**self.given, **options})
        if other._sensitive == self._sensitive:  # what is compiled fits as it is: with_options in a loop stays cheap
            other._compiled, other._source = self.signature.named(other.name), self._source
        return other

    @property
    def source_hash(self) -> Optional[str]:
        """Hex text that changes with the definition, or None when its source is unknown."""
        if self._source is False:
            from flowctl.sdk.source import source_hash

            digest = source_hash(_innermost(self.function))
            self._source = None if digest is None else digest.hex()
        return self._source or None  # type: ignore[return-value]

    def _check_sensitive(self) -> None:
        from flowctl.sdk.checks import unknown_name
        from flowctl.sdk.signature import shape_of

        known = shape_of(self.function).names()
        for name in sorted(self._sensitive.difference(known)):
            raise DefinitionError(f"@step {self.name}: sensitive: {unknown_name('parameter', name, known)}")


class Workflow(_Callable[P, R]):
    """A function that runs are made of. Called inside a run it is a child run."""

    kind = "child"
    source_hash: Optional[str] = None
    wire_options: Mapping[str, Any] = {}

    def __init__(self, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
        super().__init__(function, "@workflow")
        subject = f"@workflow {_name_of(function)}"
        if getattr(function, "__code__", None) is not None and function.__code__.co_flags & _ASYNC:
            raise DefinitionError(f"{subject}: a workflow is a plain `def`; its steps may be `async def`")
        if given.get("on_failure") is not None:
            from flowctl.sdk.rescue import handler_of

            given = {**given, "on_failure": handler_of(subject, given["on_failure"])}
        self.options: WorkflowOptions = workflow_options(subject, given)
        self.name = self.options.name or _default_name(function, "@workflow")
        self._check_shape(subject)

    def _check_shape(self, subject: str) -> None:
        from flowctl.sdk.signature import shape_of

        shape = shape_of(self.function)
        if shape.rest or shape.extra:
            stars = f"*{shape.rest}" if shape.rest else f"**{shape.extra}"
            raise DefinitionError(f"{subject}: a workflow names its parameters; {stars} is for steps only")

    @property
    def path(self) -> str:
        """The file that defines it."""
        return str(_innermost(self.function).__code__.co_filename)

    @property
    def wire_fields(self) -> Mapping[str, Any]:
        """What the engine has to know to start a child run."""
        return {
            "path": self.path,
            "function": self.function.__name__,
            "workflow": self.name,
            "workflow_options": self.options.as_json(),
        }


def _check_function(function: Any, decorator: str) -> None:
    if isinstance(function, _Callable):
        raise DefinitionError(f"{decorator} {function.name}: it is already a {type(function).__name__.lower()}")
    if isinstance(function, type) or not callable(function):
        raise DefinitionError(f"{decorator} needs a function, not {type(function).__name__}")
    code = getattr(_innermost(function), "__code__", None)
    if code is not None and code.co_flags & _GENERATOR:
        raise DefinitionError(f"{decorator} {_name_of(function)}: a generator cannot be recorded; return a list")


def _innermost(function: Any) -> Any:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _default_name(function: Any, decorator: str) -> str:
    try:
        name = check_name(_name_of(function))
    except ValueError as error:
        raise DefinitionError(f"{decorator}: name: {error}") from None
    if name == "<lambda>":
        raise DefinitionError(f'{decorator}: a lambda has no name; give one with name="…"')
    return name


if TYPE_CHECKING:

    class _StepDecorator(Protocol):
        @overload
        def __call__(self, function: Callable[P, Coroutine[Any, Any, R]]) -> Step[P, R]: ...
        @overload
        def __call__(self, function: Callable[P, R]) -> Step[P, R]: ...


@overload
def step(function: Callable[P, Coroutine[Any, Any, R]]) -> Step[P, R]: ...
@overload
def step(function: Callable[P, R]) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str = ...,
    retries: int = ...,
    backoff: Duration = ...,
    max_backoff: Duration = ...,
    jitter: float = ...,
    timeout: Optional[Duration] = ...,
    total_timeout: Optional[Duration] = ...,
    retry_on: Errors = ...,
    give_up_on: Errors = ...,
    on_crash: str = ...,
    pure: bool = ...,
    breaker: Union[str, Mapping[str, Any]] = ...,
    reconcile: Callable[[str], Any] = ...,
    sensitive: Union[str, tuple[str, ...], list[str], set[str]] = ...,
) -> _StepDecorator: ...
def step(function: Any = None, /, **options: Any) -> Any:
    """Make a function a step: its calls inside a run are recorded. Use it bare or with options.

    Options: name, retries, backoff, max_backoff, jitter, timeout, total_timeout, retry_on, give_up_on,
    on_crash ("rerun" or "block"), pure, breaker (a name, or a dict with name, failures, window, cooldown,
    open: "wait" or "fail", and fallback: a function that is called instead), reconcile (a function of the external
    id), sensitive.
    DefinitionError when one makes no sense.
    """
    if function is not None:
        return Step(function, options)
    return lambda function: Step(function, options)


@overload
def workflow(function: Callable[P, R]) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str = ...,
    timeout: Optional[Duration] = ...,
    attempts: int = ...,
    queue: str = ...,
    priority: int = ...,
    tags: Mapping[str, str] = ...,
    on_failure: Optional[Workflow[Any, Any]] = ...,
    isolation: str = ...,
    requires: Union[tuple[str, ...], list[str]] = ...,
    when: Union[str, tuple[str, ...], list[str]] = ...,
    schedule: Union[str, Mapping[str, Any], None] = ...,
) -> Callable[[Callable[P, R]], Workflow[P, R]]: ...
def workflow(function: Any = None, /, **options: Any) -> Any:
    """Make a function a workflow that can be run and recorded. Use it bare or with options.

    Options: name, timeout, attempts, queue, priority, tags, on_failure, isolation ("shared" or "process"), requires
    (labels), when (conditions that its scheduled runs wait for), schedule (a cron text, or a dict with cron, every or
    once). The last counts when the file is registered.
    DefinitionError when one makes no sense.
    """
    if function is not None:
        return Workflow(function, options)
    return lambda function: Workflow(function, options)
