"""Views: what a person may ask with SQL of his own, read-only, in limited time and room."""

from __future__ import annotations

from typing import NamedTuple

import apsw

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import TimedOut, UsageError
from flowctl.store.connection import Connection, Row, translated
from flowctl.store.queries import load

SQL = load("views")
VIEWS = ("runs", "steps", "attempts", "slots", "events")
ROOM_BYTES = 256 * 1024 * 1024  # of an answer, and of what SQLite sorts and groups for it
_BETWEEN_LOOKS = 10_000  # instructions of SQLite's machine
_ROW_BYTES = 100  # of a row, beside its texts

# Not the environments that were captured, nor source code.
_TABLES = frozenset({*VIEWS, "payloads", "schedules"})
_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree", "pragma_table_info"})
_ACTIONS = frozenset({apsw.SQLITE_RECURSIVE, apsw.SQLITE_SELECT})
_HINT = f'the views are {", ".join(VIEWS)}; columns: flowctl sql "PRAGMA table_info(runs)"'


class Bounds(NamedTuple):
    """How long a query may take, and how many rows are wanted of it, None for all."""

    seconds: float
    rows: int | None = None


class Answer(NamedTuple):
    """What a query found; `more` tells that there are more rows than were wanted."""

    columns: tuple[str, ...]
    rows: list[Row]
    more: bool


def ask(connection: Connection, query: str, bounds: Bounds) -> Answer:
    """Answer one query over the views, on a connection that serves nothing else from then on.

    Raises UsageError for anything but one SELECT that SQLite understands, and TimedOut.
    """
    raw = connection.raw
    _define(raw)
    raw.authorizer = _authorize
    ends_at = SYSTEM_CLOCK.monotonic() + bounds.seconds
    raw.set_progress_handler(lambda: SYSTEM_CLOCK.monotonic() >= ends_at, _BETWEEN_LOOKS)
    before = apsw.hard_heap_limit(ROOM_BYTES)
    try:
        return _Asking(raw, bounds.rows).answer(query)
    except apsw.InterruptError:
        raise TimedOut(f"the query was not answered within {bounds.seconds:g} s", "give it more: --timeout") from None
    except (apsw.NoMemError, MemoryError):
        raise _too_large() from None
    except apsw.AuthError:
        raise UsageError("the query asks for more than reading the views", _HINT) from None
    except UnicodeError:
        raise UsageError("the query, or what it found, is not valid text") from None
    except apsw.BindingsError:
        raise UsageError("the query has parameters, and nothing fills them", "write the values into it") from None
    except (apsw.SQLError, apsw.TooBigError, apsw.MismatchError) as error:
        raise UsageError(f"SQLite refuses the query: {error}", _HINT) from None
    except apsw.Error as error:
        raise translated(error, connection.path) from error
    finally:
        apsw.hard_heap_limit(before)


def _define(raw: apsw.Connection) -> None:
    """Shadow the tables by the views of their names; the file is not written to."""
    raw.authorizer = None
    raw.execute("PRAGMA query_only = OFF").fetchall()
    for name in VIEWS:
        raw.execute(f"CREATE TEMP VIEW {name} AS {SQL[name]}").fetchall()
    raw.execute("PRAGMA query_only = ON").fetchall()


def _authorize(action: int, first: str | None, second: str | None, _schema: str | None, _view: str | None) -> int:
    allowed = (
        action in _ACTIONS
        or (action == apsw.SQLITE_READ and (first in _TABLES | _TABLE_FUNCTIONS or not second))  # none: it only counts
        or (action == apsw.SQLITE_FUNCTION and second != "load_extension")
        or (action == apsw.SQLITE_PRAGMA and (first or "").lower() == "table_info")
    )
    return apsw.SQLITE_OK if allowed else apsw.SQLITE_DENY


def _too_large() -> UsageError:
    return UsageError(f"the answer is larger than {ROOM_BYTES >> 20} MB", "ask for less: add WHERE or LIMIT")


class _Asking:
    """One query on its way. Rows are kept until it is done: an open cursor would pin the WAL."""

    def __init__(self, raw: apsw.Connection, wanted: int | None) -> None:
        self._raw = raw
        self._wanted = wanted
        self._columns: tuple[str, ...] | None = None

    def answer(self, query: str) -> Answer:
        cursor = self._raw.cursor()
        cursor.exec_trace = self._begin
        rows: list[Row] = []
        room = ROOM_BYTES
        try:
            for row in cursor.execute(query):
                if self._wanted is not None and len(rows) == self._wanted:
                    return self._answer(rows, more=True)
                rows.append(row)
                room -= _ROW_BYTES + sum(len(value) for value in row if isinstance(value, (str, bytes)))
                if room < 0:
                    raise _too_large()
        finally:
            cursor.close(True)
        return self._answer(rows, more=False)

    def _answer(self, rows: list[Row], *, more: bool) -> Answer:
        if self._columns is None:
            raise UsageError("there is no query", 'flowctl sql "SELECT workflow, count(*) FROM runs GROUP BY 1"')
        return Answer(_distinct(self._columns), rows, more)

    def _begin(self, cursor: apsw.Cursor, _text: str, _bindings: object) -> bool:
        """Take note of a statement before it runs; what is only a comment has no columns."""
        columns = tuple(str(each[0]) for each in cursor.get_description())
        if columns and self._columns is not None:
            raise UsageError("there is more than one query", "ask one at a time")
        self._columns = columns or self._columns
        return True


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that are all different: id, id_2."""
    found: list[str] = []
    for name in names:
        number, distinct = 1, name
        while distinct in found:
            number += 1
            distinct = f"{name}_{number}"
        found.append(distinct)
    return tuple(found)
