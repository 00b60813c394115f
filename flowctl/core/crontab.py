"""Crontabs read and written: crontab(5) as Debian's cron understands it, `%` and variable lines included.

Reading accounts for every line of the file and says of each what became of it; nothing is dropped in silence. Where
flowctl does something that cron does not, or the other way round, the line is imported with the reason why a person
should look at it. Writing gives only lines that cron would read the same, and refuses what a crontab cannot say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from flowctl.core import recurrence
from flowctl.core.cron import NICKNAMES, REBOOT
from flowctl.core.errors import UsageError
from flowctl.sdk.errors import shown

Outcome = Literal["imported", "attention", "refused", "setting", "comment"]

DEFAULT_SHELL = "/bin/sh"
CRON_PATH = "/usr/bin:/bin"  # what cron gives a line that no PATH stands above

_LONGEST_NAME = 40
_SETTING = re.compile(r"(?P<name>\"[^\"]*\"|'[^']*'|[^\s=\"']+)[ \t]*=(?P<value>.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_VALUE = re.compile(r"\"[^\"]*\"|'[^']*'|[^\"'].*|", re.DOTALL)
_OWN_FIELDS = ("SHELL", "CRON_TZ")  # variables that an entry has a field for
_USUAL = {"SHELL": DEFAULT_SHELL, "CRON_TZ": "", "PATH": CRON_PATH}  # what they are where no line sets them
_NOT_UTF8 = re.compile("[\ud800-\udfff]")  # bytes of another encoding, as decode() leaves them
_COLUMNS = re.compile(r"#\s*m\s+h\s+dom\s+mon\s+dow\b")  # the heading that Debian puts into a new crontab

_ITEM = r"(?:(?:\*|(?:\d+|[a-z]{3})-(?:\d+|(?!sun)[a-z]{3}))(?:/\d+)?|\d+|[a-z]{3})"
_PLAIN_FIELD = re.compile(rf"{_ITEM}(?:,{_ITEM})*", re.ASCII | re.IGNORECASE)

# What stands before the program that gives a line its name.
_PRELIMINARY = re.compile(r"(?:cd|test|source|export|umask|set|sleep|\[|\.)[ \t]")
_OPTION = re.compile(r"-|\w+=|\d+[smhd]?$")
_WRAPPERS = {"sudo", "env", "nice", "ionice", "nohup", "time", "exec", "chronic", "command", "timeout"}
_INTERPRETERS = re.compile(r"(?:ba|da|z|k)?sh|python[\d.]*|perl|ruby|node|php")
_SUFFIX = re.compile(r"\.(?:sh|bash|py|pl|rb|js|php)$")


@dataclass(frozen=True, slots=True)
class CrontabEntry:
    """What a schedule is made of.

    `zone` comes from CRON_TZ and `shell` from SHELL; the other variables in force are in `environment`. `stdin` is what
    follows the first bare `%`, as cron gives it to the command. `user` is the column of the system's format.
    """

    name: str
    expression: str
    zone: str
    command: str
    stdin: str | None
    shell: str
    user: str | None
    environment: dict[str, str]
    description: str


@dataclass(frozen=True, slots=True)
class CrontabLine:
    """A line of the file and what became of it. `reason` is one sentence where there is something to say."""

    line: int
    text: str
    outcome: Outcome
    reason: str
    entry: CrontabEntry | None


@dataclass(slots=True)
class _Reading:
    """What lines above have set, and the comments right above."""

    system: bool
    owner: str | None
    variables: dict[str, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


def decode(data: bytes) -> str:
    """Return the text of a crontab. A line in another encoding than UTF-8 stays as it is, and is refused as a line."""
    return data.decode(errors="surrogateescape")


def encode(text: str) -> bytes:
    """Return the bytes that `decode` was given."""
    return text.encode(errors="surrogateescape")


def read_crontab(text: str, *, system: bool, owner: str | None = None) -> list[CrontabLine]:
    """Return every line of a crontab with what became of it.

    `system` says that it has a column for the user. With `owner` only that user's lines are imported.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    reading = _Reading(system, owner)
    return [_read_line(reading, number, line) for number, line in enumerate(lines, start=1)]


def _read_line(reading: _Reading, number: int, line: str) -> CrontabLine:
    told = _NOT_UTF8.sub("\ufffd", line)
    body = told.removesuffix("\r").lstrip(" \t")
    if not body or body.startswith("#"):
        _take_comment(reading, body)
        return CrontabLine(number, told, "comment", "", None)
    try:
        if told != line:
            raise UsageError("it is not UTF-8 text")
        if _SETTING.fullmatch(body):
            _take_setting(reading, body)
            return CrontabLine(number, line, "setting", "", None)
        entry = _read_entry(reading, body)
    except UsageError as error:
        return CrontabLine(number, told, "refused", error.message, None)
    finally:
        reading.comments.clear()
    differences = [*_surface_reasons(line), *_reasons(entry, reading.owner)]
    reason = "; ".join([*differences, *_notes(body, entry)])
    return CrontabLine(number, line, "attention" if differences else "imported", reason, entry)


def _take_comment(reading: _Reading, body: str) -> None:
    """Keep a comment for the entry below; an empty line, a heading or a line that was switched off begins anew."""
    if not body or _COLUMNS.match(body) or _is_switched_off(reading, body):
        reading.comments.clear()
    else:
        reading.comments.append(body[1:].removeprefix(" "))


def _is_switched_off(reading: _Reading, comment: str) -> bool:
    try:
        _split_entry(comment[1:].lstrip(" \t").removeprefix("-"), "", reading.system)
    except UsageError:
        return False
    return True


def _take_setting(reading: _Reading, body: str) -> None:
    match = _SETTING.fullmatch(body)
    assert match is not None
    name, value = _unquoted(match["name"]), match["value"].strip(" \t")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{shown(name)} is not the name of a variable")
    if not _VALUE.fullmatch(value):
        raise UsageError(f"the quotes of {name} do not enclose its value")
    if "\0" in value:
        raise UsageError(f"the value of {name} holds a NUL character")
    reading.variables[name] = _unquoted(value)


def _unquoted(text: str) -> str:
    return text[1:-1] if text[:1] in ("'", '"') and text[0] == text[-1] and len(text) > 1 else text


def _read_entry(reading: _Reading, body: str) -> CrontabEntry:
    """Return the entry of a line. Raises UsageError."""
    zone = reading.variables.get("CRON_TZ", "")
    expression, user, rest = _split_entry(body.removeprefix("-"), zone, reading.system)
    if user is not None and reading.owner not in (None, user):
        raise UsageError(f"cron runs it as {shown(user)} and flowctl as {reading.owner}: let {shown(user)} import it")
    if "\0" in rest:
        raise UsageError("the command holds a NUL character")
    command, stdin = _split_stdin(rest)
    return CrontabEntry(
        name=_name(command, reading.names),
        expression=expression,
        zone=zone,
        command=command,
        stdin=stdin,
        shell=reading.variables.get("SHELL") or DEFAULT_SHELL,
        user=user,
        environment={name: value for name, value in reading.variables.items() if name not in _OWN_FIELDS},
        description="\n".join(reading.comments),
    )


def _split_entry(body: str, zone: str, system: bool) -> tuple[str, str | None, str]:
    """Return expression, user and the rest of a line. Raises UsageError."""
    count = 1 if body.startswith("@") else 5
    parts = re.split(r"[ \t]+", body, maxsplit=count)
    if len(parts) < count:
        raise UsageError("it is neither a variable nor five time fields and a command")
    rule = recurrence.Rule("cron", " ".join(parts[:count]), zone)
    expression = recurrence.check(rule).expression
    rest = parts[count] if len(parts) > count else ""
    user = None
    if system:
        user, _, rest = re.sub(r"[ \t]+", " ", rest, count=1).partition(" ")
    if not rest.strip():
        raise UsageError("there is no user and no command" if system and not user else "there is no command")
    return expression, user, rest


def _split_stdin(text: str) -> tuple[str, str | None]:
    """Return the command and its standard input, by the same two rules for backslashes as cron's do_command.c.

    In the command a backslash and what follows it stay together, and only `\\%` loses its backslash. In the input a
    backslash is dropped where a `%` follows, which then is no line feed. The input ends with a line feed.
    """
    match = re.match(r"(?:\\.|[^%\\]|\\\Z)*", text)
    assert match is not None
    command = re.sub(r"\\(.)", lambda pair: "%" if pair[1] == "%" else pair[0], match[0])
    given = text[match.end() + 1 :]
    if not given:
        return command, None
    lines = re.sub(r"(\\?)%", lambda found: "%" if found[1] else "\n", given)
    return command, lines if lines.endswith("\n") else f"{lines}\n"


def _name(command: str, taken: set[str]) -> str:
    """Return a name for a command, that of its program, which no line above has."""
    word = _SUFFIX.sub("", _program(command).rstrip("/").rpartition("/")[2])
    base = re.sub(r"[^A-Za-z0-9._]+", "-", word)[:_LONGEST_NAME].strip("-.") or "command"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name


def _program(command: str) -> str:
    """Return the word of a shell command that says what it does: the script rather than what runs it."""
    parts = [part.strip(" \t(){}") for part in re.split(r"&&|\|\||[;|]", command)]
    parts = [part for part in parts if part and not _PRELIMINARY.match(part)] or [command]
    words = [word.strip("'\"(){}") for word in parts[0].split()]
    words = [word for word in words if word and not _OPTION.match(word)]
    while len(words) > 1 and _runs_another(words[0].rpartition("/")[2]):
        words.pop(0)
    return words[0] if words else ""


def stem(command: str) -> str:
    """Return a command up to its program: what stays when somebody changes its arguments."""
    program = _program(command)
    return command[: command.find(program) + len(program)].strip()


def _runs_another(program: str) -> bool:
    return program in _WRAPPERS or _INTERPRETERS.fullmatch(program) is not None


def _surface_reasons(line: str) -> Iterator[str]:
    """Yield what a person should know of how a line is written."""
    if line.endswith("\r"):
        yield "the line ended in a carriage return, which cron would have given to the shell"


def _notes(body: str, entry: CrontabEntry) -> Iterator[str]:
    """Yield what is done just as cron does it, and is easily overlooked."""
    if entry.shell not in (DEFAULT_SHELL, "/usr/bin/sh", "sh"):
        yield f"it runs in {shown(entry.shell)} (SHELL)"
    if entry.stdin is not None:
        yield "what follows the % is its standard input"
    if body.startswith("-"):
        yield "its leading - keeps some crons from logging it and means nothing here"


def _reasons(entry: CrontabEntry, owner: str | None) -> Iterator[str]:
    """Yield what may be different from cron, or be different among crons."""
    if entry.user is not None and entry.user != owner:
        yield f"cron runs it as {shown(entry.user)}; flowctl runs it as whoever imports it"
    if entry.environment.get("MAILTO"):
        yield f"its output is kept in the run and not mailed to {shown(entry.environment['MAILTO'])} (MAILTO)"
    if entry.zone:
        yield f"its times are those of {entry.zone} (CRON_TZ), which not every cron honours"
    if entry.environment.get("RANDOM_DELAY"):
        yield "RANDOM_DELAY is not applied: give the schedule a jitter instead"
    if entry.expression == REBOOT:
        yield "it runs when the daemon first starts after a boot, not at the boot itself"
    if not _is_plain(entry.expression):
        yield f"cron refuses the expression {shown(entry.expression)}"


def write_crontab(lines: Iterable[CrontabEntry]) -> str:
    """Return a crontab of these entries, with the variables that each needs above it.

    Raises UsageError that names an entry which no crontab can express.
    """
    entries = sorted(lines, key=lasting)
    if len({entry.user is None for entry in entries}) > 1:
        raise UsageError("a crontab has a column for the user on every line or on none")
    written: list[str] = []
    variables = _USUAL
    for entry in entries:
        texts = (entry.command, entry.description, entry.stdin or "", *entry.environment.values())
        if any(map(_NOT_UTF8.search, texts)):
            raise _inexpressible(entry, "is UTF-8 text")
        wanted = {**_USUAL, "SHELL": entry.shell, "CRON_TZ": entry.zone, **entry.environment}
        stale = sorted(variables.keys() - wanted.keys())
        if stale:
            raise _inexpressible(entry, f"cannot unset {stale[0]} again")
        for name, value in wanted.items():
            if variables.get(name) != value:
                written.append(f"{name}={_quoted(entry, value)}")
        variables = wanted
        if entry.description:
            written += [f"# {line}" if line else "#" for line in entry.description.split("\n")]
        written.append(_entry_line(entry))
    return "".join(f"{line}\n" for line in written)


def lasting(entry: CrontabEntry) -> int:
    """Return how many variables a crontab cannot take back from the lines below: those with fewer come first."""
    return len(entry.environment.keys() - _USUAL.keys())


def _entry_line(entry: CrontabEntry) -> str:
    user = [] if entry.user is None else [entry.user]
    return " ".join([_expression(entry), *user, _command(entry)]) + _stdin(entry)


def _expression(entry: CrontabEntry) -> str:
    if not _is_plain(entry.expression):
        raise _inexpressible(entry, f"has no expression such as {shown(entry.expression)}")
    return " ".join(entry.expression.split())


def _is_plain(expression: str) -> bool:
    """Tell whether every cron reads an expression as flowctl does."""
    texts = expression.split()
    if len(texts) == 1:
        return texts[0].lower() in (*NICKNAMES, REBOOT)
    return len(texts) == 5 and all(map(_PLAIN_FIELD.fullmatch, texts))


def _command(entry: CrontabEntry) -> str:
    text = entry.command.lstrip(" \t")
    if not text.strip() or re.search(r"[\n\0]|\r\Z", text):
        raise _inexpressible(entry, "has one line for a command, with no NUL and not empty")
    pairs = re.findall(r"\\.|[^\\]|\\\Z", text)
    if "\\%" in pairs:
        raise _inexpressible(entry, "cannot give a command a % after a backslash")
    if pairs[-1] == "\\" and entry.stdin:
        raise _inexpressible(entry, "cannot end a command with a backslash when text follows it")
    return "".join("\\%" if pair == "%" else pair for pair in pairs)


def _stdin(entry: CrontabEntry) -> str:
    if not entry.stdin:
        return ""
    if not entry.stdin.endswith("\n") or re.search(r"\\\n|\r\Z|\0", entry.stdin):
        raise _inexpressible(entry, "can give a command only lines that end, and not in a backslash")
    text = entry.stdin if entry.stdin.endswith("\n\n") or entry.stdin == "\n" else entry.stdin[:-1]
    return "%" + text.replace("%", "\\%").replace("\n", "%")


def _quoted(entry: CrontabEntry, value: str) -> str:
    """Return a value as a variable line can hold it."""
    if re.search(r"[\n\0]|\r\Z", value):
        raise _inexpressible(entry, "has one line for a variable")
    if value == value.strip(" \t") and value[:1] not in ("'", '"'):
        return value
    quote = next((quote for quote in ('"', "'") if quote not in value), None)
    if quote is None:
        raise _inexpressible(entry, f"cannot quote the value {shown(value)}")
    return f"{quote}{value}{quote}"


def _inexpressible(entry: CrontabEntry, why: str) -> UsageError:
    return UsageError(f"{shown(entry.name)} cannot be written: a crontab {why}", "leave this schedule with flowctl")
