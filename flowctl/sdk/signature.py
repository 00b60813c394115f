"""The parameters of a function, compiled once: arguments to recorded input and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any, Callable, NamedTuple, Optional

from flowctl.sdk import masking
from flowctl.sdk.checks import nearest
from flowctl.sdk.codec import ANY, Codec, Secret, with_room
from flowctl.sdk.errors import InputError, Unreadable, Unstorable
from flowctl.sdk.hints import codec_for
from flowctl.sdk.jsontext import hash_of_one_scalar, hash_of_plain, loads, text_of
from flowctl.sdk.resolve import resolve_hints

SENSITIVE: Mapping[str, bool] = {"$sensitive": True}
_UNCHANGING = frozenset({str, int, float, bool, type(None), Secret})


class Shape(NamedTuple):
    """Which parameters a function has."""

    positional: tuple[str, ...]
    keyword_only: tuple[str, ...]
    rest: Optional[str]  # *args
    extra: Optional[str]  # **kwargs
    defaults: Mapping[str, Any]

    def names(self) -> tuple[str, ...]:
        """Return every name in the order of the signature."""
        rest = (self.rest,) if self.rest else ()
        extra = (self.extra,) if self.extra else ()
        return self.positional + rest + self.keyword_only + extra


def shape_of(function: Callable[..., Any]) -> Shape:
    """Return the parameters of a function; `inspect` is imported only for what is not a plain function."""
    if type(function) is not FunctionType or hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
        return _inspected(function)
    code, kw_defaults = function.__code__, function.__kwdefaults__ or {}
    names, count, more = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    at = count + more
    rest = names[at] if code.co_flags & 0x04 else None
    extra = names[at + (rest is not None)] if code.co_flags & 0x08 else None
    late = function.__defaults__ or ()
    defaults = dict(zip(names[count - len(late) : count], late)) if late else {}
    return Shape(names[:count], names[count:at], rest, extra, {**defaults, **kw_defaults})


def _inspected(function: Callable[..., Any]) -> Shape:
    import inspect

    found: dict[Any, list[str]] = {}
    defaults = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = parameter.kind
        if kind is inspect.Parameter.POSITIONAL_ONLY:
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        found.setdefault(kind, []).append(name)
        if parameter.default is not inspect.Parameter.empty:
            defaults[name] = parameter.default
    rest = found.get(inspect.Parameter.VAR_POSITIONAL, [None])[0]
    extra = found.get(inspect.Parameter.VAR_KEYWORD, [None])[0]
    positional = tuple(found.get(inspect.Parameter.POSITIONAL_OR_KEYWORD, ()))
    return Shape(positional, tuple(found.get(inspect.Parameter.KEYWORD_ONLY, ())), rest, extra, defaults)


def _withhold(value: Any, _depth: int) -> Any:
    masking.hide_sensitive(value)
    return SENSITIVE


_WITHHELD = Codec(_withhold, ANY.get, ANY.kinds, ())


class Signature:
    """Binds arguments, writes them as recorded input, reads them back. The hints are resolved at first use."""

    def __init__(self, function: Callable[..., Any], name: str, sensitive: Iterable[str] = ()) -> None:
        self.shape = shape_of(function)
        self.name = name
        self.sensitive = frozenset(sensitive)
        self.hints = resolve_hints(function)
        self.output = codec_for(self.hints.get("return", Any))
        self.codecs = {name: self._codec(name) for name in self.shape.names()}

    def named(self, name: str) -> Signature:
        """Return the same parameters for messages with another name."""
        other = object.__new__(Signature)
        other.__dict__.update(self.__dict__, name=name)
        return other

    def _codec(self, name: str) -> Codec:
        if name in self.sensitive:
            return _WITHHELD
        hint = self.hints.get(name, Any)
        if name == self.shape.rest:
            return codec_for(tuple.__class_getitem__((hint, ...)))
        return codec_for(dict.__class_getitem__((str, hint)) if name == self.shape.extra else hint)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name, with defaults, in the order of the signature. TypeError as of a plain call."""
        shape = self.shape
        if not kwargs and len(args) == len(shape.positional) and not (shape.keyword_only or shape.rest or shape.extra):
            return dict(zip(shape.positional, args))
        return self._bind_all(args, dict(kwargs))

    def _bind_all(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        shape = self.shape
        given = dict(zip(shape.positional, args))
        if len(args) > len(shape.positional) and not shape.rest:
            raise TypeError(f"{self.name}() takes {len(shape.positional)} positional arguments, not {len(args)}")
        values: dict[str, Any] = {}
        missing = []
        for name in shape.names():
            if name == shape.rest:
                values[name] = args[len(shape.positional) :]
            elif name == shape.extra:
                continue
            elif name in given and name in kwargs:
                raise TypeError(f"{self.name}() got two values for {name!r}")
            elif name in given:
                values[name] = given[name]
            elif name in kwargs:
                values[name] = kwargs.pop(name)
            elif name in shape.defaults:
                values[name] = shape.defaults[name]
            else:
                missing.append(name)
        if shape.extra:
            values[shape.extra] = kwargs
        elif kwargs:
            raise TypeError(f"{self.name}() {self._unknown(next(iter(kwargs)))}")
        if missing:
            raise TypeError(f"{self.name}() needs {_listed(missing)}")
        return values

    def _unknown(self, name: str) -> str:
        near = nearest(name, self.shape.names())
        return f"has no parameter {name!r}" + (f"; did you mean {near!r}?" if near else "")

    def encode(self, values: Mapping[str, Any]) -> tuple[str, bytes]:
        """Return the input as JSON text, sensitive values left out, and its hash. Raises Unstorable."""
        return with_room(lambda: self._encode(values))

    def _encode(self, values: Mapping[str, Any]) -> tuple[str, bytes]:
        plain: dict[str, Any] = {}
        codecs = self.codecs
        name = ""
        try:
            for name, value in values.items():
                plain[name] = codecs[name].put(value, 1)
        except Unstorable as refusal:
            raise refusal.under(f".{name}").of(f"input of {self.name}") from None
        try:
            text = text_of(plain)
        except Unstorable as refusal:
            raise refusal.of(f"input of {self.name}") from None
        return text, hash_of_one_scalar(plain, text) or hash_of_plain(plain)

    def decode(self, text: str) -> dict[str, Any]:
        """Return the arguments that a recorded input holds, defaults for those it lacks.

        Raises InputError when it does not fit: the parameters changed since it was recorded.
        """
        return with_room(lambda: self._decode(loads(text)))

    def _decode(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        unknown = [name for name in plain if name not in self.codecs]
        missing = [name for name in self._needed() if name not in plain]
        if unknown or missing:
            raise InputError(
                f"the parameters of {self.name} changed: " + "; ".join(_changes(unknown, missing)),
                "give the old parameters back, or change the input: flowctl fork RUN --edit",
            )
        return {name: self._value(name, plain) for name in self.shape.names()}

    def _needed(self) -> Iterator[str]:
        for name in self.shape.positional + self.shape.keyword_only:
            if name not in self.shape.defaults:
                yield name

    def _value(self, name: str, plain: Mapping[str, Any]) -> Any:
        if name in plain:
            try:
                return self.codecs[name].get(plain[name])
            except Unreadable as refusal:
                raise InputError(f"{self.name}: {refusal.under(f'.{name}')}") from None
        empty: Any = () if name == self.shape.rest else {}
        return self.shape.defaults.get(name, empty)

    def separate(self, values: Mapping[str, Any], text: str) -> dict[str, Any]:
        """Return the arguments for one body: what a body could change is a copy, made from the recorded text.

        So a body that changes its arguments changes neither the workflow's variables, which a replay would not
        repeat, nor the input of its next attempt.
        """
        for name in self.sensitive:
            masking.hide_sensitive(values[name])  # again: many other calls may have been prepared meanwhile
        if all(type(value) in _UNCHANGING for value in values.values()):
            return dict(values)
        return with_room(lambda: self._copies(values, loads(text)))

    def _copies(self, values: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._separate(name, value, plain[name]) for name, value in values.items()}

    def _separate(self, name: str, value: Any, plain: Any) -> Any:
        keep = name in self.sensitive or type(value) in _UNCHANGING
        return value if keep else self.codecs[name].get(plain)

    def call(self, function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        """Call the function with arguments by name."""
        args, kwargs = self.arguments(values)
        return function(*args, **kwargs)

    def arguments(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return arguments by name as those of a call: what may stand by its position does."""
        shape = self.shape
        args = [values[name] for name in shape.positional]
        kwargs = {name: values[name] for name in shape.keyword_only}
        if shape.rest:
            args += values[shape.rest]
        if shape.extra:
            kwargs.update(values[shape.extra])
        return args, kwargs


def _changes(unknown: list[str], missing: list[str]) -> Iterator[str]:
    if unknown:
        yield f"the recorded input has {_listed(unknown)}, which {'are' if len(unknown) > 1 else 'is'} gone"
    if missing:
        yield f"it lacks {_listed(missing)}"


def _listed(names: Iterable[str]) -> str:
    quoted = [repr(name) for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
