"""The doctor: everything that may keep work from being done, what it means, and the next command."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from flowctl.core.errors import FlowctlError
from flowctl.core.instants import local, short
from flowctl.core.planning import rule_of
from flowctl.core.recurrence import check as check_rule
from flowctl.core.recurrence import is_timed, next_slot
from flowctl.core.text import plural, quoted
from flowctl.core.zones import has_zone_data, misnamed
from flowctl.engine import surroundings
from flowctl.engine.claim import boot_id, engine_alive, lock_path
from flowctl.engine.cron import active_entries
from flowctl.engine.crontab import HELD, TAKE_OVER, runs_in_cron, what
from flowctl.engine.daemon_lock import lock_file, running_daemon
from flowctl.engine.health import FREE_BYTES, LAG_MS
from flowctl.engine.recovery import recover_store
from flowctl.engine.why import START
from flowctl.store import Store, files

EARLIEST_MS = 1_577_836_800_000  # 2020: a clock that says less has not been set since the machine started
FRESH_MS = 86_400_000
SLACK_MS = 60_000
_UNITS = ".config/systemd/user"
# Findings about the file that a run may still be recorded under.
_HARMLESS = frozenset({"permissions", "log_size", "free_space", "journal_mode", "future"})

Level = Literal["ok", "warning", "broken"]


class Diagnosis(NamedTuple):
    """What one check found about one subject."""

    check: str
    level: Level
    subject: str
    message: str
    hint: str = ""


Check = Callable[[Store, int], Iterator[Diagnosis]]


def examine(store: Store, now: int) -> list[Diagnosis]:
    """Return what every check of the file and its surroundings found; one that found nothing says so."""
    found: list[Diagnosis] = []
    for name, check in CHECKS.items():
        try:
            findings = list(check(store, now))
        except FlowctlError as error:
            findings = [Diagnosis(name, "broken", store.path, error.message, error.hint)]
        found += findings or [Diagnosis(name, "ok", store.path, "nothing wrong")]
    return found


def _file(store: Store, now: int) -> Iterator[Diagnosis]:
    for finding in store.check(now=now):
        if finding.check == "next_slot":  # told of its schedule, below
            continue
        level: Level = "warning" if finding.check in _HARMLESS else "broken"
        hint = "flowctl db check --full, then restore a backup: flowctl db restore FILE" if level == "broken" else ""
        yield Diagnosis("file", level, finding.subject, f"{finding.message} ({finding.check})", hint)


def _place(store: Store, now: int) -> Iterator[Diagnosis]:
    """Look for a file system or a folder that other machines share: SQLite's locks do not reach them."""
    for text in surroundings.doubts(store.path):
        yield Diagnosis("place", "warning", store.path, text, "Keep it on a disk of this machine, and copy backups.")


def _machines(store: Store, now: int) -> Iterator[Diagnosis]:
    """Look for an engine of another machine: one of another boot that began after this machine did."""
    up = surroundings.uptime_ms()
    since = now if up is None else now - up + SLACK_MS
    own, made_by = files.machine(), store.doctor.machine()
    elsewhere = store.doctor.elsewhere(boot_id(), since)
    if elsewhere is None and made_by is not None and own and made_by != own:
        found = store.doctor.elsewhere(boot_id(), now - FRESH_MS)
        elsewhere = found if found is not None and found.stopped_at is None else None
    if elsewhere is not None:
        text = (
            f"another machine works with this file: process {elsewhere.pid} there, since {local(elsewhere.started_at)}"
        )
        yield Diagnosis("machines", "broken", store.path, text, "Give each machine a database of its own.")


def _disk(store: Store, now: int) -> Iterator[Diagnosis]:
    free = files.free_space(store.path)
    if free < FREE_BYTES:
        yield Diagnosis("disk", "warning", store.path, f"has {free:,} bytes of disk left", "flowctl db prune")


def _clock(store: Store, now: int) -> Iterator[Diagnosis]:
    if now < EARLIEST_MS:
        yield Diagnosis("clock", "broken", "this machine", f"its clock says {local(now)}", "Set it.")
    if not has_zone_data():
        text = "it has no time zone data, so no zone but UTC can be looked up"
        yield Diagnosis("clock", "warning", "this machine", text, "Install the package tzdata.")
    elif (name := misnamed()) is not None:
        text = f"{quoted(name)} names no time zone, so schedules that name none either follow UTC"
        yield Diagnosis("clock", "warning", "TZ", text, "TZ=Europe/Berlin, or leave it unset")


def _schedules(store: Store, now: int) -> Iterator[Diagnosis]:
    """Look for schedules that cannot be planned, are late, or have lost their next slot."""
    schedules = store.doctor.schedules()
    alive = running_daemon(store.path) is not None
    if schedules and not alive:
        yield Diagnosis("schedules", "warning", "daemon", "no daemon runs, so no schedule fires", START)
    for each in schedules:
        subject = f"schedule {each.name}"
        try:
            check_rule(rule_of(each))
        except FlowctlError as error:
            yield Diagnosis("schedules", "broken", subject, error.message, f"flowctl schedules update {each.name}")
            continue
        late = 0 if each.next_at is None else now - each.next_at
        if alive and late > LAG_MS:
            text = f"is {short(late)} late, and the daemon has not planned it"
            yield Diagnosis("schedules", "warning", subject, text, "flowctl daemon restart")
    for _, name, next_at in _unarmed(store):
        text = "has lost its next slot" + ("" if next_at is None else f", which is at {local(next_at)}")
        yield Diagnosis("schedules", "warning", f"schedule {name}", text, "flowctl doctor --fix")


def _crontab(store: Store, now: int) -> Iterator[Diagnosis]:
    """Look for imported schedules that cron runs too, and for those that are held although it does not."""
    imported = [each for each in store.doctor.schedules() if each.source == "crontab"]
    if not imported:
        return
    entries, known = active_entries()
    active = frozenset(map(what, entries))
    for each in imported:
        subject, twice = f"schedule {each.name}", runs_in_cron(each, active)
        if twice and each.paused_at is None:
            text = "runs twice: its line is still active in the crontab"
            yield Diagnosis("crontab", "warning", subject, text, TAKE_OVER)
        elif known and not twice and each.pause_reason == HELD:
            text = "is held for cron, which has its line no more"
            yield Diagnosis("crontab", "warning", subject, text, f"flowctl schedules resume {each.name}")


def _unarmed(store: Store) -> Iterator[tuple[int, str, int | None]]:
    """Yield schedules that do not wait for the slot that they are due for, and when that is."""
    for each in store.doctor.schedules():
        try:
            rule = check_rule(rule_of(each))
        except FlowctlError:
            continue
        last = store.doctor.last_slot(each.id)
        lost = each.next_at is None or (last is not None and each.next_at <= last)
        if lost and is_timed(rule):
            next_at = next_slot(rule, max(each.planned_to, last or 0))
            if next_at != each.next_at:
                yield each.id, each.name, next_at


def _engines(store: Store, now: int) -> Iterator[Diagnosis]:
    for engine in store.engines.running():
        if not engine_alive(store.path, engine):
            text = "has died, and nobody has freed its runs yet"
            yield Diagnosis("engines", "warning", f"process {engine.pid}", text, "flowctl doctor --fix")
    for path in stale_locks(store):
        yield Diagnosis("engines", "warning", path, "is the lock of an engine that is gone", "flowctl doctor --fix")


def stale_locks(store: Store) -> list[str]:
    """Return the lock files of engines that nobody holds, and that no engine of the file owns."""
    owned = {str(lock_path(store.path, engine.token)) for engine in store.engines.running()} | {
        str(lock_file(store.path))
    }
    found = sorted(str(path) for path in Path(f"{store.path}-engines").glob("*.lock"))
    return [path for path in found if path not in owned and not is_locked(path)]


def is_locked(path: str) -> bool:
    """Tell whether some process holds the lock of a file."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _lingering(store: Store, now: int) -> Iterator[Diagnosis]:
    if any(Path.home().joinpath(_UNITS).glob("flowctl*.service")) and surroundings.lingers() is False:
        text = "its services end when you log out, and begin only when you log in"
        yield Diagnosis("lingering", "warning", "systemd", text, "loginctl enable-linger")


def _channels(store: Store, now: int) -> Iterator[Diagnosis]:
    waiting = store.notices.waiting()
    for channel in store.notices.channels():
        count, error = waiting.get(channel.id, (0, None))
        if error is not None:
            text = f"{plural(count, 'message')} could not be delivered yet: {error}"
            yield Diagnosis(
                "channels", "warning", f"channel {channel.name}", text, f"flowctl notify test {channel.name}"
            )


CHECKS: dict[str, Check] = {
    "file": _file,
    "place": _place,
    "machines": _machines,
    "disk": _disk,
    "clock": _clock,
    "schedules": _schedules,
    "crontab": _crontab,
    "engines": _engines,
    "lingering": _lingering,
    "channels": _channels,
}


def fix(store: Store, now: int) -> list[str]:
    """Put right what needs no decision, and return what was done. What was recorded stays as it is."""
    done: list[str] = []
    if recover_store(store, now):
        done.append("freed the runs of engines that are gone")
    for path in stale_locks(store):
        os.unlink(path)
        done.append(f"removed {path}")
    unarmed = list(_unarmed(store))
    with store.transaction():
        for schedule_id, name, next_at in unarmed:
            store.doctor.rearm(schedule_id, next_at)
            done.append(f"schedule {name} waits for {'nothing more' if next_at is None else local(next_at)}")
    store.checkpoint()
    return done
