"""What a person is told, and where: channels, what each has been told, and the messages."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

DAY_MS = 86_400_000
FIRST_PAUSE_MS = 60_000
LONGEST_PAUSE_MS = 3_600_000
GIVE_UP_MS = DAY_MS

ChannelKind = Literal["command", "desktop", "webhook", "mail"]
NoticeKind = Literal["failed", "still_failing", "recovered", "missed", "blocked", "test"]


class Channel(NamedTuple):
    """One row of `channels`: where a person is told."""

    id: int
    namespace: str
    name: str
    kind: ChannelKind
    settings: dict[str, Any]
    workflow: str | None  # only about this one
    failures: int  # in a row, before the first word
    created_at: int


class Standing(NamedTuple):
    """One row of `standings`: what a channel has been told of a subject."""

    subject: str
    state: str
    since: int
    told_at: int


class NewNotice(NamedTuple):
    """What it takes to make a message."""

    channel_id: int
    subject: str  # "workflow digest", "schedule nightly", "run 42"
    kind: NoticeKind
    run_id: int | None
    text: str


class Notice(NamedTuple):
    """One row of `notices`: a message to a channel."""

    id: int
    channel_id: int
    subject: str
    kind: NoticeKind
    run_id: int | None
    text: str
    created_at: int
    tries: int
    next_at: int | None
    sent_at: int | None
    error: str | None


def next_try(notice: Notice, now: int) -> int | None:
    """Return when a message that could not be delivered is tried again, None when it is given up."""
    pause = min(FIRST_PAUSE_MS << min(notice.tries, 20), LONGEST_PAUSE_MS)
    return None if now + pause > notice.created_at + GIVE_UP_MS else now + pause
