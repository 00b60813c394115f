"""Search: the full-text index over inputs, outputs, errors and logs, and the rows that it has not.

The index has words, not texts: it says which rows may hold what is looked for, and whoever asks reads them. It is
always somewhat behind. So a search reads, besides what the index finds, every row that came after it, and every row
that it has left out: it is complete at any time, and only slower when the index is far behind.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple

import apsw

from flowctl.core.model import RunState
from flowctl.core.text import without_colour
from flowctl.store.connection import Connection, Row
from flowctl.store.payloads import PREFIX, Payloads
from flowctl.store.queries import load

SQL = load("search")
BATCH_BYTES = 500_000  # of text that one transaction indexes: some 30 ms
PAGE = 500
_LAST_ID = 2**49

Kind = Literal["run", "step", "log"]
BASES: dict[Kind, int] = {"run": 0, "step": 1 << 50, "log": 2 << 50}  # added to the number of a row
_TEXTS: dict[Kind, str] = {
    "run": SQL["texts_of_runs"],
    "step": SQL["texts_of_steps"],
    "log": SQL["texts_of_logs"],
}
_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\.")


class Marks(NamedTuple):
    """How far the index has come: the last event, step and chunk of logs that it has seen."""

    events: int = 0
    steps: int = 0
    logs: int = 0


class Wanted(NamedTuple):
    """Whose texts are searched. None does not restrict."""

    namespace: str
    run: int | None = None  # with the steps that it shares, if it is a fork
    workflow: str | None = None
    states: tuple[RunState, ...] = ()
    since: int | None = None  # the run was created at or after


class Query(NamedTuple):
    """What the index is asked: rows with all these words, the last of which may go on if it is `open`."""

    match: str
    open: bool


class Texts(NamedTuple):
    """The texts of a run, a step or a chunk of logs, whose text is its `input`."""

    id: int
    run_id: int
    workflow: str
    state: RunState  # of the run
    step: str | None
    at: int
    input: str
    output: str | None
    error: str | None
    attempt: int | None
    stream: str | None


class Search:
    """The index of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection, payloads: Payloads) -> None:
        self._connection = connection
        self._payloads = payloads
        self._place = 0  # the last of the steps left out that was looked at again

    # -- bringing it up to date

    def marks(self) -> Marks:
        """Return how far the index has come."""
        return Marks(**{key.removeprefix("search_"): value for key, value in self._connection.rows(SQL["marks"])})

    def stale(self) -> bool:
        """Tell whether there is something that the index has not seen."""
        return self.marks() != self.last()

    def last(self) -> Marks:
        """Return how far it could have come."""
        value = self._connection.value
        return Marks(value(SQL["last_event"]) or 0, value(SQL["last_step"]) or 0, value(SQL["last_log"]) or 0)

    def index(self, limit: int, now: int) -> bool:  # noqa: ARG002 - every write takes now
        """Index so many rows of each kind at most, in the order of their numbers; tell whether there are more."""
        marks = self.marks()
        events = self._index_runs(
            marks.events, limit
        )  # in this order: of documents with rising numbers FTS5 makes one piece
        self._index_left(limit)
        seen = Marks(events, self._index_steps(marks.steps, limit), self._index_logs(marks.logs, limit))
        self._set_marks(marks, seen)
        return self.stale()

    def _set_marks(self, before: Marks, after: Marks) -> None:
        for name, value in after._asdict().items():
            if value != getattr(before, name):
                self._connection.write(SQL["set_mark"], {"key": f"search_{name}", "value": str(value)})

    def _index_runs(self, mark: int, limit: int) -> int:
        rows: dict[int, Row] = {}
        room = BATCH_BYTES
        for event_id, run_id in self._connection.rows(SQL["new_events"], {"mark": mark, "limit": limit}):
            mark = event_id
            if run_id is not None and run_id not in rows:
                rows[run_id] = self._connection.rows(SQL["new_run"], {"run": run_id})[0]
                room -= _size(rows[run_id])
            if room < 0:
                break
        for run_id, row in sorted(rows.items()):
            self._put("run", run_id, row[1:], apart=row[0])
        return mark

    def _index_left(self, limit: int) -> None:
        rows = self._connection.rows(SQL["left_steps"], {"mark": self._place, "limit": limit})
        self._place = rows[-1][0] if len(rows) == limit else 0
        for row in rows:
            if not row[1]:
                self._put("step", row[0], row[2:], apart=row[1])

    def _index_steps(self, mark: int, limit: int) -> int:
        rows = self._connection.rows(SQL["new_steps"], {"mark": mark, "limit": limit})
        for row in _within(rows, BATCH_BYTES):
            self._put("step", row[0], row[2:], apart=row[1])
            mark = row[0]
        return mark

    def _index_logs(self, mark: int, limit: int) -> int:
        rows = self._connection.rows(SQL["new_logs"], {"mark": mark, "limit": limit})
        for row in _within(rows, BATCH_BYTES):
            self._connection.write(SQL["add"], {"id": BASES["log"] + row[0], "text": without_colour(row[1])})
            mark = row[0]
        return mark

    def _put(self, kind: Kind, row_id: int, texts: Row, *, apart: bool) -> None:
        """Index the texts of a row, or note that they are left out."""
        known = [text for text in texts if text is not None]
        if apart or any(PREFIX in text for text in known):
            self._connection.write(SQL["leave"], {"kind": kind, "id": row_id})
            return
        self._connection.write(SQL["take"], {"kind": kind, "id": row_id})
        self._connection.write(SQL["add"], {"id": BASES[kind] + row_id, "text": "\n".join(map(_unescaped, known))})

    def count(self) -> int:
        """Return how many rows the index has."""
        return int(self._connection.value(SQL["count"]))

    def clear(self, now: int) -> None:  # noqa: ARG002
        """Empty the index; it begins anew."""
        for name in (SQL["clear"], SQL["clear_unindexed"], SQL["clear_marks"]):
            self._connection.write(name)

    def forget(self, kind: Kind, ids: Iterable[int]) -> None:
        """Take rows out of the index that are deleted in the same transaction."""
        for row_id in ids:
            self._connection.write(SQL["forget"], {"id": BASES[kind] + row_id})
            if kind != "log":
                self._connection.write(SQL["take"], {"kind": kind, "id": row_id})

    def lower_marks(self) -> None:
        """Follow a deletion at the end of a table: its numbers are given again."""
        marks, last = self.marks(), self.last()
        self._set_marks(marks, Marks(*map(min, marks, last)))

    # -- asking it

    def query(self, text: str) -> Query | None:
        """Return what the index is asked for a text; None when it has no word."""
        tokenizer = self._connection.raw.fts5_tokenizer("unicode61", ["remove_diacritics", "0"])
        words = tokenizer(text.encode(), apsw.FTS5_TOKENIZE_QUERY, None, include_offsets=False, include_colocated=False)
        match = " AND ".join(f'"{word}"' for word in words)  # there are no quotes in a word
        return Query(match, text[-1].isalnum() or not text[-1].isascii()) if words else None

    def texts(self, query: Query | None, wanted: Wanted, *, indexed: bool = True) -> Iterator[Texts]:
        """Yield the rows that may hold what is looked for, the newest first; all of them without a query.

        Unless `indexed` the index is not asked: it may never have been brought up to date. Each page of rows is read by
        itself, so that the WAL is never held for long.
        """
        if not indexed or query is None:
            streams = [self._read(kind, wanted, [self._late(kind, Marks())]) for kind in BASES]
        else:
            marks = self.marks()
            left = {kind: self._late(kind, marks) for kind in BASES}, {kind: self._left(kind) for kind in BASES}
            found = self._begun(query) if query.open else {kind: self._pages_found(kind, query) for kind in BASES}
            streams = [self._read(kind, wanted, [*(each[kind] for each in left), found[kind]]) for kind in BASES]
        return heapq.merge(*streams, key=lambda each: -each.at)

    def sharing(self, texts: Texts) -> list[int]:
        """Return the forks that share a step."""
        fields = {"run": texts.run_id, "key": texts.step, "step": texts.id}
        return [row[0] for row in self._connection.rows(SQL["sharing"], fields)]

    def _read(self, kind: Kind, wanted: Wanted, ids: list[Iterator[int]]) -> Iterator[Texts]:
        distinct = _distinct(heapq.merge(*ids, reverse=True))
        fields = {**wanted._asdict(), "states": json.dumps(wanted.states) if wanted.states else None}
        while page := list(islice(distinct, PAGE)):
            for row in self._connection.rows(_TEXTS[kind], fields | {"ids": json.dumps(page)}):
                yield self._texts(row)

    def _texts(self, row: Row) -> Texts:
        texts = Texts(*row)
        if texts.stream is not None:
            return texts
        unpack = self._payloads.unpack_optional
        return texts._replace(
            input=self._payloads.unpack(texts.input), output=unpack(texts.output), error=unpack(texts.error)
        )

    def _late(self, kind: Kind, marks: Marks) -> Iterator[int]:
        """Return the rows that came after the index was brought up to date."""
        if kind == "run":
            return iter([row[0] for row in self._connection.rows(SQL["changed_runs"], {"mark": marks.events})])
        if kind == "step":
            return self._pages(SQL["late_steps"], {"mark": marks.steps})
        return self._pages(SQL["late_logs"], {"mark": marks.logs})

    def _left(self, kind: Kind) -> Iterator[int]:
        return iter([row[0] for row in self._connection.rows(SQL["left"], {"kind": kind})])

    def _pages_found(self, kind: Kind, query: Query) -> Iterator[int]:
        return self._pages(SQL["found"], {"base": BASES[kind], "query": query.match})

    def _begun(self, query: Query) -> dict[Kind, Iterator[int]]:
        """Return all rows of each kind at once: for a word that may go on, each page would cost as much."""
        numbers = [row[0] for row in self._connection.rows(SQL["begun"], {"query": f"{query.match}*"})]
        return {
            kind: iter([number - base for number in numbers if base < number < base + _LAST_ID])
            for kind, base in BASES.items()
        }

    def _pages(self, sql: str, fields: dict[str, Any]) -> Iterator[int]:
        before = _LAST_ID
        while page := self._connection.rows(sql, fields | {"before": before, "limit": PAGE}):
            yield from (row[0] for row in page)
            before = page[-1][0]


def _within(rows: list[Row], room: int) -> Iterator[Row]:
    """Yield rows until their texts fill the room, the first one in any case."""
    for row in rows:
        yield row
        room -= _size(row)
        if room < 0:
            return


def _size(row: Row) -> int:
    return sum(len(text) for text in row if isinstance(text, str))


def _unescaped(text: str) -> str:
    """Return JSON text with its escapes resolved: the n of a line feed's must not begin a word."""
    if "\\" not in text:
        return text
    return without_colour(_ESCAPE.sub(_meant, text).encode(errors="replace").decode())


def _meant(match: re.Match[str]) -> str:
    try:
        return str(json.loads(f'"{match[0]}"'))
    except ValueError:  # it was not flowctl that wrote it
        return " "


def _distinct(ids: Iterable[int]) -> Iterator[int]:
    before = None
    for row_id in ids:
        if row_id != before:
            yield row_id
        before = row_id
