"""`sh`: a shell command as a step."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Optional, Sequence, Union

from flowctl.sdk.checks import unknown_name
from flowctl.sdk.context import current, step_info
from flowctl.sdk.definition import BoundCall
from flowctl.sdk.errors import DefinitionError
from flowctl.sdk.options import StepOptions, check_name, step_options

if TYPE_CHECKING:
    from flowctl.sdk.codec import Codec
    from flowctl.sdk.shell import ShellResult

    Argument = Union[str, int, float, os.PathLike[str]]

_SHELL_SYNTAX = frozenset(";&|<>$`(){}=!\n")
_OPTIONS = ("name", "retries", "backoff", "max_backoff", "jitter", "timeout", "total_timeout", "on_crash")


class _Line(NamedTuple):
    """A command as `sh` was called with it: secrets are still told from text."""

    args: Union[str, tuple[str, ...]]
    input: Union[str, bytes, None]
    cwd: Optional[str]
    env: Optional[dict[str, str]]


class ShellCall(BoundCall["ShellResult"]):
    """A bound command."""

    __slots__ = ("_check", "_line", "_name", "_options")

    def __init__(self, line: _Line, options: StepOptions, check: bool) -> None:
        self._line = line
        self._name = options.name or _name(line.args)
        self._options = options
        self._check = check

    def __repr__(self) -> str:
        return f"<call of {self._name}>"

    @property
    def kind(self) -> str:
        """The kind of the recorded step."""
        return "shell"

    @property
    def name(self) -> str:
        """The name that was given, or the program's."""
        return self._name

    @property
    def output(self) -> Codec:
        """The codec of a ShellResult."""
        from flowctl.sdk.hints import codec_for
        from flowctl.sdk.shell import ShellResult

        return codec_for(ShellResult)

    @property
    def wire_options(self) -> Mapping[str, Any]:
        """The options for the wire, without defaults."""
        return self._options.as_json()

    def encode_input(self) -> tuple[str, str]:
        """Return argv or command, and cwd, input and the names in env, where they are given."""
        from flowctl.sdk.codec import ANY
        from flowctl.sdk.jsontext import hash_of_plain, text_of

        line = self._line
        plain: dict[str, Any] = {}
        if isinstance(line.args, str):
            plain["command"] = ANY.plain(line.args)
        else:
            plain["argv"] = ANY.plain(list(line.args))
        for name, value in (("input", line.input), ("cwd", line.cwd), ("env", sorted(line.env or ()) or None)):
            if value is not None:
                plain[name] = ANY.plain(value)
        return text_of(plain), hash_of_plain(plain).hex()

    def run(self) -> ShellResult:
        """Run the command; the step's output and log get what it prints."""
        return self.run_plain()

    def run_plain(self) -> ShellResult:
        """Run the command. Raises ShellFailed for another exit code than 0, unless check=False."""
        from flowctl.sdk import capture, shell

        line = self._line
        command = shell.Command(line.args, line.input, line.cwd, line.env, self._options.timeout_ms, _mark())
        sink = capture.sink_here()
        result = shell.run(command, sink.write if sink is not None else _hide)
        if self._check and result.exit_code != 0:
            raise shell.failure(command, result)
        return result

    def retries_on(self, error: BaseException) -> bool:
        """Say whether another attempt may follow: not after exit code 78."""
        from flowctl.sdk.shell import GIVE_UP_CODE, ShellFailed

        return not (isinstance(error, ShellFailed) and error.exit_code == GIVE_UP_CODE)


def _hide(stream: str, text: str) -> None:
    """Outside a run nobody follows a command's output: it is in the result."""


_count = 0


def _mark() -> str:
    """Return what finds the processes of this command again, and of no other."""
    global _count
    _count += 1
    info = step_info()
    owner = os.environ.get("FLOWCTL_EXECUTOR") or f"pid{os.getpid()}"
    return f"{owner}.{_count}.{info.key if info is not None else ''}"


class Shell:
    """Runs shell commands as steps."""

    def __call__(
        self,
        command: Union[str, Sequence[Argument]],
        *,
        input: Union[str, bytes, None] = None,
        cwd: Union[str, os.PathLike[str], None] = None,
        env: Optional[Mapping[str, str]] = None,
        check: bool = True,
        **options: Any,
    ) -> ShellResult:
        """Run a command as a step: a sequence of arguments, or text for /bin/sh.

        Its result has `exit_code`, `stdout` and `stderr`. Another exit code than 0 fails the step, and 78 without
        retries, unless `check` is False. Options: name, retries, backoff, max_backoff, jitter, timeout,
        total_timeout, on_crash.
        """
        bound = self.bind(command, input=input, cwd=cwd, env=env, check=check, **options)
        runtime = current()
        result: ShellResult = bound.run_plain() if runtime is None else runtime.call(bound)
        return result

    def bind(
        self,
        command: Union[str, Sequence[Argument]],
        *,
        input: Union[str, bytes, None] = None,
        cwd: Union[str, os.PathLike[str], None] = None,
        env: Optional[Mapping[str, str]] = None,
        check: bool = True,
        **options: Any,
    ) -> BoundCall[ShellResult]:
        """Return the call without making it, for `gather`."""
        args = _arguments(command)
        for option in options:
            if option not in _OPTIONS:
                raise DefinitionError(f"sh: {unknown_name('option', option, _OPTIONS)}")
        checked = step_options("sh", options)
        line = _Line(args, _input(input), None if cwd is None else os.fspath(cwd), _environment(env))
        return ShellCall(line, checked, check)


sh = Shell()


def _arguments(command: Any) -> Union[str, tuple[str, ...]]:
    if isinstance(command, str):
        if not command.strip():
            raise DefinitionError("sh: the command is empty")
        return command
    if isinstance(command, (bytes, os.PathLike)) or not isinstance(command, Sequence) or not command:
        raise DefinitionError("sh: give text, or a list of arguments that begins with the program")
    return tuple(_argument(index, part) for index, part in enumerate(command))


def _argument(index: int, part: Any) -> str:
    if isinstance(part, os.PathLike):
        part = os.fspath(part)
    if isinstance(part, (int, float)) and not isinstance(part, bool):
        part = str(part)
    if not isinstance(part, str):
        raise DefinitionError(f"sh: argument {index} is a {type(part).__name__}: give text, a path or a number")
    if "\0" in part:
        raise DefinitionError(f"sh: argument {index} holds a NUL character, which no command can receive")
    return part


def _input(value: Any) -> Union[str, bytes, None]:
    if value is not None and not isinstance(value, (str, bytes)):
        raise DefinitionError(f"sh: input is a {type(value).__name__}: give text or bytes")
    return value


def _environment(env: Any) -> Optional[dict[str, str]]:
    if env is None:
        return None
    if not isinstance(env, Mapping) or not all(isinstance(text, str) for pair in env.items() for text in pair):
        raise DefinitionError("sh: env is a dict of text to text")
    return dict(env)


def _name(args: Union[str, tuple[str, ...]]) -> str:
    """Return the program's name, or "sh" where it cannot be the name of a step or there is more than one program."""
    if isinstance(args, str):
        if set(args) & _SHELL_SYNTAX:
            return "sh"
        args = tuple(args.split())
    name = os.path.basename(args[0])
    try:
        return check_name(name)
    except ValueError:
        return "sh"
