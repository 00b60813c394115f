"""Mutants of SQL: a condition left out or turned round, a conflict no longer passed over, a constraint gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.mutation.mutant import Mutant

_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|[(),;]|\{\w+\}|:\w+|\w+(?:\.\w+)?|[^\s\w(),;:{}']+")
_BEGINS = {"WHERE", "WHEN", "HAVING"}
_ENDS = {
    "ORDER", "GROUP", "LIMIT", "RETURNING", "UNION", "SELECT", "FROM", "SET", "ON", "THEN", "ELSE", "END", "BEGIN",
    "WINDOW", "VALUES", ",", ";",
}  # fmt: skip
_GUARD = re.compile(
    r"(?<![:\w])(?:epoch|state)\b|(?:finished|superseded|detached|stopped)_at|\{(?:claimed|current|open|bodies)\}"
)
_TRIGGER = re.compile(r"CREATE TRIGGER.*?\nEND;", re.DOTALL)
_HEADING = re.compile(r"^--.*$", re.MULTILINE)


@dataclass(slots=True)
class _Group:
    """Conditions joined by AND and OR at one depth of parentheses: where each begins and ends."""

    explicit: bool = False  # after WHERE: even a single condition counts
    start: int | None = None
    conditions: list[tuple[int, int]] = field(default_factory=list)
    joints: list[str] = field(default_factory=list)
    between: bool = False

    def close(self, at: int, text: str) -> None:
        """End the condition that is open."""
        if self.start is not None and text[self.start : at].strip():
            inner = text[self.start : at]
            begin = self.start + len(inner) - len(inner.lstrip())
            self.conditions.append((begin, self.start + len(inner.rstrip())))
        self.start = None


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """Yield the mutants of a `.sql` file of queries."""
    for group in _groups(source):
        yield from _weakened(path, source, group)
    for match in re.finditer(r"ON CONFLICT DO NOTHING", source):
        yield Mutant(path, match.start(), match.end(), "", source, guard=True)


def mutants_of_schema(path: str, source: str) -> Iterator[Mutant]:
    """Yield the mutants of a schema: each constraint and trigger gone, each condition of a trigger weakened."""
    for match in re.finditer(r"CHECK (?=\()", source):
        end = _closing(source, match.end())
        yield Mutant(path, match.end(), end, "(1)", source, guard=_GUARD.search(source[match.end() : end]) is not None)
    for match in re.finditer(r"CREATE UNIQUE INDEX", source):
        yield Mutant(path, match.start(), match.end(), "CREATE INDEX", source, guard=True)
    for match in _TRIGGER.finditer(source):
        yield Mutant(path, match.start(), match.end(), "", source, guard=True)
        for group in _groups(source):
            if group.conditions and match.start() < group.conditions[0][0] < match.end():
                yield from _weakened(path, source, group)


def _closing(source: str, opening: int) -> int:
    depth = 0
    for match in _TOKEN.finditer(source, opening):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    raise ValueError("a parenthesis is not closed")


def _weakened(path: str, source: str, group: _Group) -> Iterator[Mutant]:
    for index, (start, end) in enumerate(group.conditions):
        around = group.joints[max(0, index - 1) : index + 1]
        condition = source[start:end]
        guard = _GUARD.search(condition) is not None
        yield Mutant(path, start, end, "0" if around and set(around) == {"OR"} else "1", source, guard)
        if guard:
            yield Mutant(path, start, end, f"NOT ({condition})", source, guard)


def _groups(source: str) -> Iterator[_Group]:
    """Yield every group of conditions, in the order in which they end."""
    stack = [_Group()]
    for match in _TOKEN.finditer(source):
        token, group = match[0].upper(), stack[-1]
        if token.startswith("--"):
            yield from _finished(stack, match.start(), source)
            stack = [_Group()]
        elif token == "(":
            stack.append(_Group(start=match.end()))
        elif token == ")" and len(stack) > 1:
            yield from _finished([stack.pop()], match.start(), source)
        elif token == "BETWEEN":
            group.between = True
        elif token in ("AND", "OR") and group.between and token == "AND":
            group.between = False
        elif token in ("AND", "OR") and group.start is not None:
            group.close(match.start(), source)
            group.joints.append(token)
            group.start = match.end()
        elif token in _BEGINS or token in _ENDS:
            yield from _finished([group], match.start(), source)
            stack[-1] = _Group(explicit=token == "WHERE", start=match.end() if token in _BEGINS else None)
    yield from _finished(stack, len(source), source)


def _finished(groups: list[_Group], at: int, source: str) -> Iterator[_Group]:
    for group in reversed(groups):
        group.close(at, source)
        if group.joints or (group.explicit and group.conditions):
            yield group
