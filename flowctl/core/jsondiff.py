"""How two JSON values differ: by places, so that a person sees what changed and not where lines broke."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from flowctl.core.jsonpath import MISSING, Path, path_text, value_at


class Difference(NamedTuple):
    """One place and what stands there in the one value and in the other; MISSING where there is nothing."""

    path: Path
    before: Any
    after: Any

    @property
    def place(self) -> str:
        """Return the place as text: `$.items[0].price`."""
        return path_text(self.path)


def differences(before: Any, after: Any) -> list[Difference]:
    """Return where two JSON values differ, in the order of the first. Numbers are compared by their value.

    Items of lists are compared after what both begin and end with is left aside; what one list has more there was
    removed, or added. The depth of the values is not limited by Python's recursion.
    """
    found: list[Difference] = []
    pending = [Difference((), before, after)]
    while pending:
        pair = pending.pop()
        parts = _parts(pair)
        if parts is not None:
            pending.extend(reversed(list(parts)))
        elif not _equal(pair.before, pair.after):
            found.append(pair)
    return found


def apply(value: Any, found: Iterable[Difference]) -> Any:
    """Return the other value, given the one and how they differ."""
    root = {"": json.loads(json.dumps(value))}
    removals = []
    for each in found:
        if each.after is MISSING:
            removals.append(each)
        else:
            _put(root, ("", *each.path), each.after, insert=each.before is MISSING)
    for each in reversed(removals):  # the last item of a list first, so that the places of the others stay
        holder = value_at(root, ("", *each.path[:-1]))
        del holder[each.path[-1]]
    return root[""]


def _put(root: Any, path: Path, value: Any, *, insert: bool) -> None:
    holder, last = value_at(root, path[:-1]), path[-1]
    if insert and isinstance(holder, list):
        holder.insert(last, value)  # type: ignore[arg-type]  # a place in a list is a number
    else:
        holder[last] = value


def _parts(pair: Difference) -> Iterator[Difference] | None:
    """Return the pairs that two objects or two lists consist of, None for everything else."""
    if isinstance(pair.before, dict) and isinstance(pair.after, dict):
        return _of_objects(pair.path, pair.before, pair.after)
    if isinstance(pair.before, list) and isinstance(pair.after, list):
        return _of_lists(pair.path, pair.before, pair.after)
    return None


def _of_objects(path: Path, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    for key, value in before.items():
        yield Difference((*path, key), value, after.get(key, MISSING))
    for key, value in after.items():
        if key not in before:
            yield Difference((*path, key), MISSING, value)


def _of_lists(path: Path, before: list[Any], after: list[Any]) -> Iterator[Difference]:
    ones, others = [_text(item) for item in before], [_text(item) for item in after]
    start, shorter = 0, min(len(ones), len(others))
    while start < shorter and ones[start] == others[start]:
        start += 1
    end = 0
    while end < shorter - start and ones[-1 - end] == others[-1 - end]:
        end += 1
    for index in range(start, max(len(ones), len(others)) - end):
        one = before[index] if index < len(ones) - end else MISSING
        other = after[index] if index < len(others) - end else MISSING
        yield Difference((*path, index), one, other)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return type(one) is type(other) and (one is other or one == other)
