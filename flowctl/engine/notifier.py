"""Notifications: the daemon's duty to tell a person what has changed for the worse, and for the better.

What is to be told is decided in one transaction, and written down as messages; each is delivered by a process of its
own, which later ticks look at, until it was delivered or a day is over. A channel that fails never touches a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from typing import NamedTuple

from flowctl.core.errors import Busy, DiskTrouble
from flowctl.core.instants import iso
from flowctl.core.notices import Channel, Notice, next_try
from flowctl.core.text import safe_line, shorten
from flowctl.engine import standings
from flowctl.engine.channels import COMMAND_TIMEOUT_S, LONGEST_ERROR, Delivery, command_line
from flowctl.engine.standings import Word
from flowctl.store import Store

DECIDE_MS = 1_000  # at most so often
LOOK_MS = 200  # at deliveries under way
AGAIN_MS = 5_000  # after what the disk or another writer did not allow
NEWS = 1_000  # lines of the audit log at once
MOST = 4  # deliveries at once
LONGEST_MS = (COMMAND_TIMEOUT_S + 10) * 1_000  # of one delivery


class _Sending(NamedTuple):
    """A delivery under way."""

    notice: Notice
    process: subprocess.Popen[bytes]
    until: int


class Notifier:
    """Decides what channels are told, and delivers it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cursor: int | None = None  # ahead of the one in the file by what changed nothing
        self._missed_since = 0  # slots that were found missed before are told
        self._decided_at = 0
        self._more = False
        self._sending: dict[int, _Sending] = {}  # by channel

    def tick(self, now: int) -> int | None:
        """Decide, look at deliveries, begin others; return when to be called again."""
        try:
            if self._more or not 0 <= now - self._decided_at < DECIDE_MS:
                self._decide(now)
            self._look(now)
            self._begin(now)
            return self._next(now)
        except (Busy, DiskTrouble):
            return now + AGAIN_MS

    def close(self) -> None:
        """End the deliveries under way; they are made anew by whoever comes next."""
        for sending in self._sending.values():
            _kill(sending.process)
            _said(sending.process)
        self._sending.clear()

    # -- deciding

    def _decide(self, now: int) -> None:
        notices = self._store.notices
        channels = notices.channels()
        if not channels:
            self._cursor, self._decided_at = None, now
            return
        after = self._cursor if self._cursor is not None else notices.cursor()
        news = notices.news(after, NEWS)
        reached = news[-1].event if news else after
        missed_since = min(self._missed_since, now)  # the clock may have been set back
        changed = standings.subjects(news, notices.missing(missed_since))
        if any(True for channel in channels for _ in standings.words(self._store, channel, changed, now)):
            with self._store.transaction():
                for channel in notices.channels():
                    for word in standings.words(self._store, channel, changed, now):
                        self._tell(channel, word, now)
                notices.set_cursor(reached)
        elif reached - notices.cursor() >= NEWS:
            with self._store.transaction():
                notices.set_cursor(reached)
        self._cursor, self._decided_at, self._more = reached, now, len(news) == NEWS
        self._missed_since = now

    def _tell(self, channel: Channel, word: Word, now: int) -> None:
        if word.notice is not None:
            self._store.notices.add(word.notice, now, next_at=now)
        if word.standing is None:
            self._store.notices.drop_standing(channel.id, word.subject)
        else:
            self._store.notices.put_standing(channel.id, word.standing)

    # -- delivering

    def _begin(self, now: int) -> None:
        due = [each for each in self._store.notices.due(now) if each.channel_id not in self._sending]
        channels = {channel.id: channel for channel in self._store.notices.channels()} if due else {}
        for notice in due[: MOST - len(self._sending)]:
            channel = channels.get(notice.channel_id)
            if channel is not None:  # else somebody has just removed it, and its messages with it
                self._send(channel, notice, now)

    def _send(self, channel: Channel, notice: Notice, now: int) -> None:
        try:
            process = _start(delivery_of(channel, notice, now))
        except OSError as error:
            with self._store.transaction():
                record(self._store, notice, now, f"the delivery cannot be started: {error.strerror}")
        else:
            self._sending[notice.channel_id] = _Sending(notice, process, now + LONGEST_MS)

    def _look(self, now: int) -> None:
        for channel_id, sending in list(self._sending.items()):
            code = sending.process.poll()
            if code is None and sending.until - LONGEST_MS <= now < sending.until:
                continue
            if code is None:
                _kill(sending.process)
            error = _said(sending.process)
            with self._store.transaction():
                record(self._store, sending.notice, now, None if code == 0 else error)
            del self._sending[channel_id]

    def _next(self, now: int) -> int | None:
        if self._more:
            return now
        if self._sending:
            return now + LOOK_MS
        due_at = self._store.notices.next_due_at()
        decide_at = self._decided_at + DECIDE_MS
        if self._store.notices.channels() and self._store.notices.newest_event() > (self._cursor or 0):
            return decide_at if due_at is None else min(due_at, decide_at)
        return due_at


def record(store: Store, notice: Notice, now: int, error: str | None) -> None:
    """Record how a delivery ended, and when it is made again, if it has to be."""
    if error is None:
        store.notices.sent(notice.id, now)
    else:
        store.notices.not_sent(notice.id, error, next_try(notice, now))


def delivery_of(channel: Channel, notice: Notice, now: int) -> Delivery:
    """Return what the process of a delivery is told."""
    message = {
        "notice": notice.id,
        "channel": channel.name,
        "namespace": channel.namespace,
        "kind": notice.kind,
        "subject": safe_line(notice.subject),
        "run": notice.run_id,
        "text": notice.text,
        "at": iso(notice.created_at),
    }
    return Delivery(channel.kind, channel.settings, message, now // 1000)


def _start(delivery: Delivery) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command_line(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:  # a few hundred bytes: a pipe holds them
        process.stdin.write(json.dumps(delivery._asdict()).encode())
    return process


def _said(process: subprocess.Popen[bytes]) -> str:
    """Return why a delivery failed, from the end of a process that has ended."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    text = (process.stderr.read(4096) or b"").decode(errors="replace").strip()
    process.stderr.close()
    last = text.splitlines()[-1] if text else f"the delivery ended with {process.returncode}"
    return shorten(safe_line(last), LONGEST_ERROR)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
