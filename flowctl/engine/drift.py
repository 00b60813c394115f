"""Drift: what a workflow or a schedule was registered with, and what is there now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from flowctl.core.errors import FlowctlError
from flowctl.core.model import Schedule, Workflow
from flowctl.engine import surroundings
from flowctl.engine.daemon_lock import DaemonFacts, running_daemon
from flowctl.engine.doctor import Diagnosis
from flowctl.engine.environment import ALWAYS
from flowctl.engine.interpreter import own_python
from flowctl.store import Store

_CHANGES = frozenset({"SHLVL", "PWD", "OLDPWD", "_", "TERM", "COLUMNS", "LINES"})  # with each shell
_IMPORT = "edit its line in the crontab, then: flowctl crontab import --apply"


def drift(store: Store, namespace: str, environ: Mapping[str, str], workflow: str | None = None) -> Iterator[Diagnosis]:
    """Yield what is gone or differs, of all workflows and schedules of a namespace or of one workflow.

    `environ` is that of a person's shell; what the daemon has counts where nothing was captured.
    """
    daemon = running_daemon(store.path)
    if daemon is not None:
        yield from _of_daemon(daemon)
    for each in store.workflows.list(namespace):
        if workflow in (None, each.name):
            yield from _of_workflow(store, each, environ)
            yield from _search_path(
                f"workflow {each.name}", each, daemon, environ, f"flowctl workflows add {each.path}"
            )
    for schedule in store.doctor.schedules():
        if schedule.namespace == namespace and workflow in (None, schedule.workflow):
            yield from _of_schedule(store, schedule, environ)
            if schedule.workflow is None:  # the others have what their workflow has
                again = f"flowctl schedules update {schedule.name} --env {ALWAYS}"
                yield from _search_path(f"schedule {schedule.name}", schedule, daemon, environ, again)


def _of_daemon(daemon: DaemonFacts) -> Iterator[Diagnosis]:
    own = own_python()[0]
    if daemon.python not in ("", own):
        text = f"runs code that names no interpreter with {daemon.python}, and this flowctl with {own}"
        yield Diagnosis("environment", "warning", "daemon", text, "flowctl daemon restart")


def _search_path(
    subject: str, place: Workflow | Schedule, daemon: DaemonFacts | None, environ: Mapping[str, str], again: str
) -> Iterator[Diagnosis]:
    """Compare the daemon's PATH with the shell's, where none was captured: there the daemon's is used."""
    here = environ.get(ALWAYS, "")
    if daemon is None or place.environment is not None or daemon.search_path in ("", here):
        return
    lacking = [each for each in here.split(os.pathsep) if each not in daemon.search_path.split(os.pathsep)]
    text = "was registered without a PATH, and the daemon's is not that of this shell"
    text += f": it lacks {', '.join(lacking[:5])}" if lacking else ""
    yield Diagnosis("environment", "warning", subject, text, again)


def _of_workflow(store: Store, workflow: Workflow, environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    subject, again = f"workflow {workflow.name}", f"flowctl workflows add {workflow.path}"
    if not os.path.isfile(workflow.path):
        yield Diagnosis(
            "code", "broken", subject, f"its file {workflow.path} is gone", f"flowctl workflows remove {workflow.name}"
        )
    elif (path := surroundings.writable_by_others(workflow.path)) is not None:
        text = f"another user may change {path}, and so what runs as you"
        yield Diagnosis("code", "warning", subject, text, f"chmod go-w {path}")
    yield from _started_in(subject, workflow, (again, again))
    yield from _variables(store, subject, workflow.environment, environ, lambda _: again)


def _of_schedule(store: Store, schedule: Schedule, environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    subject, again = f"schedule {schedule.name}", f"flowctl schedules update {schedule.name}"
    if schedule.workflow is not None and store.workflows.find(schedule.namespace, schedule.workflow) is None:
        text = f"its workflow {schedule.workflow} is not registered"
        yield Diagnosis("code", "broken", subject, text, "flowctl workflows add FILE.py")
    if schedule.env_file is not None and not os.path.isfile(schedule.env_file):
        yield Diagnosis(
            "environment",
            "broken",
            subject,
            f"its variables in {schedule.env_file} are gone",
            f"{again} --env-file FILE",
        )
    anew = f"{again} -- COMMAND…" if schedule.workflow is None else f"{again} --workflow {schedule.workflow}"
    yield from _started_in(subject, schedule, (anew, f"{again} --python PATH"))
    if schedule.source == "crontab":  # it has the variables that cron gives, which are no shell's
        yield from _variables(store, subject, schedule.environment, {}, lambda _: _IMPORT)
    else:
        yield from _variables(store, subject, schedule.environment, environ, partial(_capturing, again))


def _capturing(again: str, names: Iterable[str]) -> str:
    return " ".join([again, *(f"--env {name}" for name in names)])


def _started_in(subject: str, place: Workflow | Schedule, hints: tuple[str, str]) -> Iterator[Diagnosis]:
    """Look for the folder and the interpreter; a hint for each."""
    if not os.path.isdir(place.directory):
        yield Diagnosis("environment", "broken", subject, f"its working directory {place.directory} is gone", hints[0])
    if place.python is not None and not os.access(place.python, os.X_OK):
        yield Diagnosis("environment", "broken", subject, f"its interpreter {place.python} is gone", hints[1])


def _variables(
    store: Store, subject: str, digest: str | None, environ: Mapping[str, str], hint: Callable[[Iterable[str]], str]
) -> Iterator[Diagnosis]:
    """Compare captured variables with the shell's; one that this shell has not may be meant to be captured alone.

    Values stay out of the message: one may be a secret.
    """
    if digest is None:
        return
    try:
        captured = store.environments.get(digest)
    except FlowctlError as error:
        yield Diagnosis("environment", "broken", subject, error.message, error.hint)
        return
    gone = [each for each in captured.get("PATH", "").split(os.pathsep) if each and not os.path.isdir(each)]
    if gone:
        text = f"its PATH names folders that are gone: {', '.join(gone[:5])}"
        yield Diagnosis("environment", "warning", subject, text, hint(["PATH"]))
    differing = [name for name, value in captured.items() if environ.get(name, value) != value]
    names = sorted(name for name in differing if name not in _CHANGES)
    if names:
        text = f"its variables are not those of this shell: {', '.join(names[:10])}"
        yield Diagnosis("environment", "warning", subject, text, hint(names))
