"""`flowctl dev`: run a file again whenever it is saved, with what is recorded up to the first step that changed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

import click

from flowctl.cli import callers
from flowctl.cli.arguments import Arguments, parse_arguments
from flowctl.cli.completing import complete_target
from flowctl.cli.foreground import INTERRUPTED, work_here
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.run import absolute_python, bind_runs, load_target, with_variables
from flowctl.cli.targets import Submission, Target, find_target, new_supervisor
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import FlowctlError

if TYPE_CHECKING:
    from flowctl.core.model import Run, Step
    from flowctl.engine.loading import LoadedFile
    from flowctl.engine.looking import FileLook
    from flowctl.engine.supervisor import Supervisor
    from flowctl.store import Store

LOOK_S = 0.1


@click.command("dev", cls=Command, examples=["flowctl dev digest.py", "flowctl dev digest.py:weekly top=3"])
@click.argument("target", metavar="FILE.py[:FUNCTION]", shell_complete=complete_target, help="The workflow.")
@click.argument("pairs", metavar="[NAME=VALUE]…", nargs=-1, help="Its input, as for flowctl run.")
@click.option("--python", metavar="PATH", help="Interpreter for the workflow's code.")
@pass_invocation
def dev(invocation: Invocation, /, target: str, pairs: tuple[str, ...], python: str | None) -> int:
    """Run a workflow, and again whenever its file is saved, until ctrl-C.

    Each time is a fork of the last run: steps before the first one that changed, or failed, answer from the record. At
    least the last step runs again. A file that cannot be imported is waited for.
    """
    found = find_target(invocation, target)
    arguments = parse_arguments(pairs, None)
    if python is not None:  # one that is not there is not waited for
        from flowctl.engine.interpreter import choose_interpreter

        choose_interpreter(found.path, absolute_python(python), os.environ)
    with invocation.writing(create=True) as store:
        bench = _Development(invocation, store, found, python, arguments)
        try:
            while bench.run_once() != INTERRUPTED:
                invocation.terminal.say(f"waiting for an edit of {found.path}; ctrl-C ends")
                bench.wait_for_edit()
        except KeyboardInterrupt:
            return 0
    return INTERRUPTED


@dataclass(slots=True)
class _Development:
    """A workflow that is being written: its last run, and the files that count."""

    invocation: Invocation
    store: Store
    target: Target
    python: str | None
    arguments: Arguments
    last: int | None = None
    files: frozenset[str] = field(default_factory=frozenset)
    seen: dict[str, FileLook] = field(default_factory=dict)  # how they looked before they were imported

    def run_once(self) -> int:
        """Run what the file holds now, and return the exit code; what is wrong with it is told.

        Before there is a run, what was asked for is what does not fit a file that holds: that is raised, as no edit is
        to be waited for.
        """
        self.seen = self._look()
        supervisor = new_supervisor()
        holds = False  # the file: it can be imported and defines a workflow
        try:
            loaded = load_target(self.invocation, supervisor, self.target, self.python, Submission())
            holds = bool(loaded.workflows)
            self.files = frozenset(loaded.snapshot.files)
            self.seen = {path: self.seen.get(path, look) for path, look in self._look().items()}
            return self._begin(supervisor, loaded) if self.last is None else self._fork(supervisor, loaded, self.last)
        except FlowctlError as error:
            if holds and self.last is None:
                raise
            self.invocation.terminal.refuse(error.message, error.hint)
            return error.exit_code
        finally:
            supervisor.close()

    def wait_for_edit(self) -> None:
        """Wait until a file was edited, and stands still."""
        before = look = self._look()
        while look == self.seen or look != before or None in look.values():
            time.sleep(LOOK_S)
            before, look = look, self._look()

    def _look(self) -> dict[str, FileLook]:
        from flowctl.engine.looking import look_of_one

        return {path: look_of_one(path) for path in self.files | {self.target.path}}

    def _begin(self, supervisor: Supervisor, loaded: LoadedFile) -> int:
        from flowctl.engine import commands

        runs = bind_runs(self.invocation, loaded, self.target, [("", self.arguments)], Submission())
        placed = with_variables(self.store, runs, dict(loaded.executor.target.variables))

        def create(engine_id: int) -> list[int]:
            new = placed[0]._replace(followed_by=engine_id)
            self.last, _ = commands.submit(self.store, new, loaded.snapshot, SYSTEM_CLOCK.now())
            return [self.last]

        return work_here(self.invocation, self.store, supervisor, create, lasting=True)

    def _fork(self, supervisor: Supervisor, loaded: LoadedFile, source: int) -> int:
        from flowctl.engine import forks

        run = self.store.runs.get(source)
        loaded.bind(loaded.choose(run.function), {}, run.input)
        steps = self.store.steps.of_run(run.id)
        step = _first_to_run(self.store, loaded, run, steps)
        supervisor.retire(inf)  # the executor of the replay may stand in the middle of the workflow function
        self._tell(steps, step)
        how = forks.Fork(callers.person(), step, loaded.snapshot)

        def create(engine_id: int) -> list[int]:
            self.last = forks.fork(self.store, run.id, SYSTEM_CLOCK.now(), how, engine_id)
            return [self.last]

        return work_here(self.invocation, self.store, supervisor, create, lasting=True)

    def _tell(self, steps: Sequence[Step], first: Step | None) -> None:
        reused = [step for step in steps if first is not None and step.seq < first.seq]
        from_where = "from the beginning" if first is None else f"from {first.key} on"
        counted = f"{len(reused)} of {len(steps)} recorded steps are reused"
        self.invocation.terminal.say(f"saved: {counted}, and it runs {from_where}")


def _first_to_run(store: Store, loaded: LoadedFile, run: Run, steps: Sequence[Step]) -> Step | None:
    """Return the first step that the code does not ask for as it is recorded, or that failed; else the last one."""
    from flowctl.engine.checking import Checker
    from flowctl.engine.histories import history_of

    verdict = Checker(loaded).check(history_of(store, run))
    again = {*verdict.changed, verdict.at, *run.failed_steps}
    for step in steps:
        if step.key in again or step.state not in ("succeeded", "failed"):
            return step
    return steps[-1] if steps else None
