"""Reads .env files: names and values, quotes, comments; nothing is expanded and nothing is run."""

from __future__ import annotations

import re
from pathlib import Path

from flowctl.core.errors import NotFound, NotPermitted, UsageError

_ASSIGNMENT = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_BLANK = re.compile(r"[ \t]*(#.*)?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def read_env_file(path: str) -> dict[str, str]:
    """Return the variables of a .env file; of a name that stands twice the last one counts.

    `NAME=value`, with or without `export`. An unquoted value ends at ` #` or the end of the line. In single quotes
    everything is literal; in double quotes \\n \\r \\t \\" \\\\ \\$ are escapes; both may span lines.

    Raises UsageError that names file and line, NotFound, or NotPermitted.
    """
    return _Parser(path, _read(path)).variables()


def _read(path: str) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        raise NotFound(f"there is no environment file {path}") from None
    except PermissionError:
        raise NotPermitted(f"the environment file {path} cannot be read: permission denied") from None
    except OSError as error:
        raise UsageError(f"the environment file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"the environment file {path} is not UTF-8 text (byte {error.start})") from None


class _Parser:
    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._at = 0

    def variables(self) -> dict[str, str]:
        if "\0" in self._text:
            raise self._error("a NUL byte cannot stand in an environment", self._text.index("\0"))
        found: dict[str, str] = {}
        while self._at < len(self._text):
            if not self._skip_blank_line():
                name, value = self._assignment()
                found[name] = value
        return found

    def _skip_blank_line(self) -> bool:
        blank = _BLANK.match(self._text, self._at)
        end = blank.end() if blank else self._at
        if end < len(self._text) and self._text[end] != "\n":
            self._at = end
            return False
        self._at = end + 1
        return True

    def _assignment(self) -> tuple[str, str]:
        match = _ASSIGNMENT.match(self._text, self._at)
        if match is None:
            raise self._error("expected NAME=value", self._at)
        self._at = match.end()
        quote = self._text[self._at : self._at + 1]
        value = self._quoted(quote) if quote in ("'", '"') else self._unquoted()
        return match[1], value

    def _unquoted(self) -> str:
        line = self._rest_of_line()
        self._at += len(line) + 1
        if line.startswith("#"):
            return ""
        return re.split(r"[ \t]#", line, maxsplit=1)[0].rstrip()

    def _quoted(self, quote: str) -> str:
        opened = self._at
        pieces: list[str] = []
        self._at += 1
        while True:
            char = self._text[self._at : self._at + 1]
            self._at += 1
            if char == "":
                raise self._error(f"the {quote} that opens here is never closed", opened)
            if char == quote:
                break
            if char == "\\" and quote == '"' and self._text[self._at : self._at + 1] in _ESCAPES:
                char = _ESCAPES[self._text[self._at]]
                self._at += 1
            pieces.append(char)
        if not self._skip_blank_line():
            raise self._error("something stands after the closing quote", self._at)
        return "".join(pieces)

    def _rest_of_line(self) -> str:
        end = self._text.find("\n", self._at)
        return self._text[self._at :] if end < 0 else self._text[self._at : end]

    def _error(self, problem: str, at: int) -> UsageError:
        line = self._text.count("\n", 0, at) + 1
        return UsageError(f"{self._path}, line {line}: {problem}")
