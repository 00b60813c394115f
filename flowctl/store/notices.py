"""Notices: channels, what each was told, and the messages that are on their way."""

from __future__ import annotations

import json
from typing import NamedTuple

from flowctl.core.errors import Conflict
from flowctl.core.model import RunState
from flowctl.core.notices import Channel, NewNotice, Notice, Standing
from flowctl.store.connection import Connection, Row
from flowctl.store.payloads import read_column
from flowctl.store.queries import load

SQL = load("notices")


class News(NamedTuple):
    """A change of a run's state, and how the run stands now."""

    event: int
    state: RunState
    run_id: int
    namespace: str
    workflow: str
    root_id: int | None
    parent_id: int | None
    now: RunState


class Outcome(NamedTuple):
    """How a run of a workflow ended."""

    run_id: int
    state: RunState
    error: str | None
    finished_at: int


class Watched(NamedTuple):
    """A schedule whose missed slots are told."""

    id: int
    namespace: str
    name: str
    workflow: str | None
    zone: str


class Missed(NamedTuple):
    """A slot that was missed."""

    due_at: int
    reason: str


class Notices:
    """The channels and messages of one file. Writes belong inside `store.transaction()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # -- channels

    def channels(self) -> list[Channel]:
        """Return the channels of all namespaces."""
        return [_channel(row) for row in self._connection.rows(SQL["channels"])]

    def add_channel(self, new: Channel, now: int) -> int:
        """Make a channel, which is told of what happens from now on. Raises Conflict when its name is taken."""
        first = not self.channels()
        fields = new._asdict() | {"settings": json.dumps(new.settings, ensure_ascii=False), "now": now}
        rows = self._connection.write(SQL["add_channel"], fields)
        if not rows:
            raise Conflict(f"there is a channel {new.name} already", f"flowctl notify remove {new.name}")
        if first:
            self.set_cursor(self.newest_event())
        return int(rows[0][0])

    def remove_channel(self, namespace: str, name: str) -> bool:
        """Remove a channel and its messages. Returns False when there was none."""
        return bool(self._connection.change(SQL["remove_channel"], {"namespace": namespace, "name": name}))

    # -- what was told

    def standing(self, channel_id: int, subject: str) -> Standing | None:
        """Return what a channel was told of a subject, None for nothing."""
        row = self._connection.row(SQL["standing"], {"channel": channel_id, "subject": subject})
        return None if row is None else Standing(*row)

    def put_standing(self, channel_id: int, standing: Standing) -> None:
        """Remember what a channel was told of a subject."""
        self._connection.write(SQL["put_standing"], standing._asdict() | {"channel": channel_id})

    def drop_standing(self, channel_id: int, subject: str) -> None:
        """Remember that all is well with a subject, as far as a channel knows."""
        self._connection.write(SQL["drop_standing"], {"channel": channel_id, "subject": subject})

    # -- messages

    def add(self, new: NewNotice, now: int, next_at: int | None) -> Notice:
        """Make a message, to be sent at an instant; without one, its maker sends it."""
        fields = new._asdict() | {"now": now, "next_at": next_at}
        return Notice(*self._connection.write(SQL["add"], fields)[0])

    def due(self, now: int) -> list[Notice]:
        """Return the messages to send now, at most one of each channel, so that they arrive in order."""
        return [Notice(*row) for row in self._connection.rows(SQL["due"], {"now": now})]

    def next_due_at(self) -> int | None:
        """Return when the next message is to be sent."""
        found = self._connection.value(SQL["next_due_at"])
        return None if found is None else int(found)

    def sent(self, notice_id: int, now: int) -> None:
        """Record that a message was delivered."""
        self._connection.write(SQL["sent"], {"id": notice_id, "now": now})

    def not_sent(self, notice_id: int, error: str, next_at: int | None) -> None:
        """Record that a message was not delivered, and when it is tried again; None gives it up."""
        self._connection.write(SQL["not_sent"], {"id": notice_id, "error": error, "next_at": next_at})

    def waiting(self) -> dict[int, tuple[int, str | None]]:
        """Return by channel how many messages are to be sent, and why one could not be."""
        return {row[0]: (row[1], row[2]) for row in self._connection.rows(SQL["waiting"])}

    # -- what happened

    def newest_event(self) -> int:
        """Return the number of the last line of the audit log."""
        return int(self._connection.value(SQL["newest_event"]) or 0)

    def cursor(self) -> int:
        """Return the line up to which everything was told that is to be told."""
        return int(self._connection.value(SQL["cursor"]) or 0)

    def set_cursor(self, event: int) -> None:
        """Remember up to which line everything was told."""
        self._connection.write(SQL["set_cursor"], {"event": str(event)})

    def news(self, after: int, limit: int) -> list[News]:
        """Return changes of runs' states after a line, the oldest first."""
        return [News(*row) for row in self._connection.rows(SQL["news"], {"after": after, "limit": limit})]

    def workflow_of(self, run_id: int) -> str | None:
        """Return the workflow of a run, None when it is gone."""
        found: str | None = self._connection.value(SQL["workflow_of"], {"run": run_id})
        return found

    def outcomes(self, namespace: str, workflow: str, limit: int) -> list[Outcome]:
        """Return how the newest runs of a workflow ended that are no other run's child."""
        fields = {"namespace": namespace, "workflow": workflow, "limit": limit}
        return [Outcome(*row) for row in self._connection.rows(SQL["outcomes"], fields)]

    def missing(self, since: int) -> list[Watched]:
        """Return the schedules of all namespaces with slots that were found missed since an instant."""
        return [Watched(*row) for row in self._connection.rows(SQL["missing"], {"since": since})]

    def missed(self, schedule_id: int, after: int) -> list[Missed]:
        """Return the slots of a schedule after an instant that were missed."""
        rows = self._connection.rows(SQL["missed"], {"schedule": schedule_id, "after": after})
        return [Missed(*row) for row in rows]


def _channel(row: Row) -> Channel:
    fields = list(row)
    fields[4] = read_column(row[4], dict, f"settings of channel {row[2]}")
    return Channel(*fields)
