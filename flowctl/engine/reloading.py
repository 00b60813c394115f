"""Taking up the edited file of a registered workflow: it is imported in an executor and checked, and only then counts.

An edit that does not hold keeps the last good version, and says why. A process of its own does all this, because an
import may take long, hang or die.

python -c BOOT FOLDER      a Reload as JSON on stdin
"""

from __future__ import annotations

import json
import os
import sys
from typing import NamedTuple

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.config import load_config
from flowctl.core.errors import FlowctlError
from flowctl.core.model import Snapshot, Workflow
from flowctl.core.text import safe_line, shorten
from flowctl.engine.interpreter import own_python
from flowctl.engine.loading import load_file
from flowctl.engine.registry import Registration, code_schedule, described, register
from flowctl.engine.supervisor import CodeTarget, Supervisor
from flowctl.engine.trust import distrusted
from flowctl.store import Store

ACTOR = "daemon (hot reload)"  # in the audit log
LONGEST_REASON = 500
# The folder of the package comes first on the path, and the current folder never does.
_BOOT = "import sys; sys.path[0] = sys.argv.pop(1); from flowctl.engine.reloading import main; main()"


class Reload(NamedTuple):
    """The workflow whose file was edited."""

    database: str
    namespace: str
    name: str


def command_line() -> list[str]:
    """Return the words that start the process of a reload."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [*own_python(), "-c", _BOOT, folder]


def main() -> None:
    """Reload what stdin says."""
    asked = Reload(**json.load(sys.stdin))
    supervisor = Supervisor(load_config(os.environ))
    try:
        with Store.open(asked.database) as store:
            store.connection.actor = ACTOR
            reload(store, supervisor, asked.namespace, asked.name)
    finally:
        supervisor.close()


def reload(store: Store, supervisor: Supervisor, namespace: str, name: str) -> str | None:
    """Take up what the file of a registered workflow holds now; return why the earlier version is kept, if it is."""
    workflow = store.workflows.find(namespace, name)
    if workflow is None:
        return None
    now = SYSTEM_CLOCK.now()
    try:
        registration, snapshot = _loaded(store, supervisor, workflow)
        if registration is None or snapshot is None:
            return _keep(store, workflow, None)
        register(store, [registration], snapshot, now, told=f"reloaded: {workflow.path} was edited")
    except FlowctlError as error:
        return _keep(store, workflow, error.message)
    return None


def _loaded(store: Store, supervisor: Supervisor, workflow: Workflow) -> tuple[Registration | None, Snapshot | None]:
    """Return what the file holds now; nothing when that is registered already. Raises FlowctlError."""
    _require_trust(store.snapshots.get(workflow.code).files)
    variables = store.environments.get(workflow.environment) if workflow.environment is not None else {}
    kept = tuple(sorted(variables.items()))
    target = CodeTarget(workflow.path, workflow.directory, workflow.python, None, kept)
    with load_file(supervisor, target) as loaded:
        _require_trust(loaded.snapshot.files)
        if loaded.snapshot.code == workflow.code:
            return None, None
        found = loaded.choose(workflow.function)
        new = described(loaded, found, workflow.name, workflow.namespace)._replace(environment=workflow.environment)
        return Registration(new, code_schedule(loaded, found, new)), loaded.snapshot


def _require_trust(paths: dict[str, str]) -> None:
    reason = distrusted(paths)
    if reason is not None:
        raise FlowctlError(f"{reason}, so that edits are not taken up: flowctl workflows add takes them up")


def _keep(store: Store, workflow: Workflow, reason: str | None) -> str | None:
    """Record why the registered version still counts, or that it is what the file holds."""
    told = None if reason is None else shorten(safe_line(reason), LONGEST_REASON)
    if workflow.kept_because == told:
        return told
    now, subject = SYSTEM_CLOCK.now(), f"workflow {workflow.name}"
    with store.transaction():
        store.workflows.keep(workflow, told)
        text = "its file holds the registered version again" if told is None else f"keeps its last good version: {told}"
        store.events.note(subject, text, now)
    return told
