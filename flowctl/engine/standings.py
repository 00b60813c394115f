"""What channels are told: when something changes, not each time it happens again.

Everything is decided from the file: how the newest runs of a workflow ended, and what the channel was told of it. So it
does not matter who decides, how often, or what was decided before a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flowctl.core.notices import DAY_MS, Channel, NewNotice, NoticeKind, Standing
from flowctl.core.policy import summary
from flowctl.core.text import safe_line, shorten
from flowctl.core.zones import zoned
from flowctl.store import Store
from flowctl.store.notices import News, Outcome, Watched

LONGEST_TEXT = 500


class Subjects(NamedTuple):
    """What has changed, and is to be looked at."""

    workflows: frozenset[tuple[str, str]]  # (namespace, name)
    runs: frozenset[News]
    schedules: frozenset[Watched]  # with slots that were missed


class Word(NamedTuple):
    """One message, and what the channel knows of its subject then: None, that all is well."""

    notice: NewNotice | None
    subject: str
    standing: Standing | None


def subjects(news: list[News], missing: list[Watched]) -> Subjects:
    """Return what to look at after these changes: workflows with runs that have ended, and every run that changed."""
    ended = {(each.namespace, each.workflow) for each in news if each.parent_id is None and each.now in _ENDED}
    return Subjects(frozenset(ended), frozenset({each.run_id: each for each in news}.values()), frozenset(missing))


_ENDED = ("succeeded", "failed")


def words(store: Store, channel: Channel, changed: Subjects, now: int) -> Iterator[Word]:
    """Yield what a channel is to be told, or is to forget."""
    for namespace, workflow in sorted(changed.workflows):
        if namespace == channel.namespace and channel.workflow in (None, workflow):
            yield from _of_workflow(store, channel, workflow, now)
    for news in sorted(changed.runs):
        if news.namespace == channel.namespace:
            yield from _of_run(store, channel, news, now)
    for schedule in sorted(changed.schedules):
        if schedule.namespace == channel.namespace and channel.workflow in (None, schedule.workflow):
            yield from _of_schedule(store, channel, schedule, now)


def _of_workflow(store: Store, channel: Channel, workflow: str, now: int) -> Iterator[Word]:
    subject = f"workflow {workflow}"
    found = store.notices.outcomes(channel.namespace, workflow, channel.failures)
    told = store.notices.standing(channel.id, subject)
    failing = len(found) == channel.failures and all(each.state == "failed" for each in found)
    if told is None and failing:
        again = f", {channel.failures} times in a row" if channel.failures > 1 else ""
        notice = _failure(channel, subject, "failed", found[0], f"failed{again}")
        yield Word(notice, subject, Standing(subject, "failing", now, now))
    elif told is not None and found and found[0].state == "succeeded":
        text = f"{workflow} works again: run {found[0].run_id} succeeded, after failures since {zoned(told.since)}"
        yield Word(_notice(channel, subject, "recovered", found[0].run_id, text), subject, None)
    elif told is not None and found and now - told.told_at >= DAY_MS:
        notice = _failure(channel, subject, "still_failing", found[0], f"still fails, since {zoned(told.since)}")
        yield Word(notice, subject, told._replace(told_at=now))


def _failure(channel: Channel, subject: str, kind: NoticeKind, outcome: Outcome, what: str) -> NewNotice:
    workflow = subject.removeprefix("workflow ")
    text = f"{workflow} {what}: run {outcome.run_id}, {summary(outcome.error or '{}')}"
    return _notice(channel, subject, kind, outcome.run_id, text)


def _of_run(store: Store, channel: Channel, news: News, now: int) -> Iterator[Word]:
    subject = f"run {news.run_id}"
    told = store.notices.standing(channel.id, subject)
    if told is not None and news.now != "blocked":
        yield Word(None, subject, None)
    elif told is None and news.now == "blocked" and _concerns(store, channel, news):
        reason = store.runs.get(news.run_id).reason
        text = f"{news.workflow} is blocked and needs a person: run {news.run_id}, {reason}"
        notice = _notice(channel, subject, "blocked", news.run_id, text)
        yield Word(notice, subject, Standing(subject, "blocked", now, now))


def _concerns(store: Store, channel: Channel, news: News) -> bool:
    """Tell whether a channel is about the workflow of a run, or of the run at the top of its family."""
    if channel.workflow in (None, news.workflow):
        return True
    return news.root_id is not None and store.notices.workflow_of(news.root_id) == channel.workflow


def _of_schedule(store: Store, channel: Channel, schedule: Watched, now: int) -> Iterator[Word]:
    """Yield at most one message, of all slots that were missed since the last."""
    subject = f"schedule {schedule.name}"
    told = store.notices.standing(channel.id, subject)
    found = store.notices.missed(schedule.id, channel.created_at if told is None else told.since)
    if not found:
        return
    last = found[-1]
    slots = f"the slot of {zoned(last.due_at, schedule.zone)}"
    if len(found) > 1:
        slots = (
            f"{len(found)} slots from {zoned(found[0].due_at, schedule.zone)} to {zoned(last.due_at, schedule.zone)}"
        )
    text = f"{schedule.name} missed {slots}: {last.reason}"
    notice = _notice(channel, subject, "missed", None, text)
    yield Word(notice, subject, Standing(subject, "missed", last.due_at, now))  # told up to that slot


def _notice(channel: Channel, subject: str, kind: NoticeKind, run_id: int | None, text: str) -> NewNotice:
    return NewNotice(channel.id, subject, kind, run_id, shorten(safe_line(text), LONGEST_TEXT))
