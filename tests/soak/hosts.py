"""Who works on the runs of a soak, and the dice that say when they are killed."""

from __future__ import annotations

import random
import subprocess
import time

from flowctl.store import Store
from tests.soak.world import PATIENCE_S, RUNS, World

LONGEST_S = 0.3  # before a kill
KILLED_WHILE_STARTING = 0.25  # the share of kills that count from the start of a process and not of its work
VICTIMS = ("engine", "executor", "both")


class Host:
    """One process after the other that works on a share of the runs, and the dice that say when it is killed."""

    def __init__(self, world: World, runs: list[int], dice: random.Random) -> None:
        self._world = world
        self._found = world.figures.found
        self._runs = runs
        self._dice = dice
        self._offset = 0  # how far the ledger is read
        self._recorded: dict[tuple[int, str], str | None] = {}
        self._killed: tuple[str, int] | None = None  # who was killed last and when, until somebody works again
        self._doomed: set[int] = set()

    def work(self) -> None:
        """Have the runs worked on until all have succeeded."""
        undisturbed = 0
        while words := self._next_command():
            undisturbed = 0 if self._world.more() else undisturbed + 1
            process = self._world.start(*words)
            self._harass(process)
            try:
                process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                undisturbed = RUNS
            self._world.figures.codes[process.returncode] += 1
            if undisturbed >= RUNS:
                self._found["stuck"].append(f"flowctl {' '.join(map(str, words))}")
                return

    def _next_command(self) -> list[object]:
        with self._world.store() as store:
            runs = [store.runs.get(number) for number in self._runs]
            self._compare(store)
        going = [run.id for run in runs if run.state not in ("succeeded", "failed", "blocked")]
        stopped = [run.id for run in runs if run.state in ("failed", "blocked")]  # an executor died between two steps
        return ["resume", *going] if going else ["retry", "--same-code", *stopped] if stopped else []

    def _compare(self, store: Store) -> None:
        """Look whether everything that was recorded is still there, as it was."""
        steps = [step for number in self._runs for step in store.steps.of_run(number)]
        now = {(step.run_id, step.key): step.output for step in steps if step.state == "succeeded"}
        for at, output in self._recorded.items():
            if at not in now:
                self._found["lost"].append(f"run {at[0]} step {at[1]}")
            elif now[at] != output:
                self._found["recorded twice"].append(f"run {at[0]} step {at[1]}: {output}, then {now[at]}")
        self._recorded = now

    def _harass(self, process: subprocess.Popen[str]) -> None:
        """Kill until the engine is dead, or has ended by itself."""
        since = time.monotonic_ns()
        while self._world.more():
            if self._dice.random() >= KILLED_WHILE_STARTING:
                begun = self._first_work(process, since)
                if begun is None:
                    return
                self._note_restart(begun)
                since = begun
            time.sleep(max(0.0, since / 1e9 + self._dice.uniform(0, LONGEST_S) - time.monotonic()))
            victim, since = self._dice.choice(VICTIMS), time.monotonic_ns()
            doomed = self._world.kill(victim, process)
            if doomed:
                self._killed = (victim, since)
                self._doomed |= doomed
            if process.pid in doomed or process.poll() is not None:
                return

    def _first_work(self, process: subprocess.Popen[str], since: int) -> int | None:
        """Wait until a body has begun for this engine, and return when; None when the engine has ended."""
        while process.poll() is None:
            bodies, self._offset = self._world.ledger(self._offset)
            begun = [body.at for body in bodies if body.engine == process.pid and body.at > since]
            if begun:
                return begun[0]
            time.sleep(0.002)
        return None

    def _note_restart(self, begun: int) -> None:
        if self._killed is None:
            return
        (victim, at), self._killed = self._killed, None
        figures = self._world.figures
        (figures.replacements if victim == "executor" else figures.restarts).append((begun - at) / 1e9)
        alive, self._doomed = self._doomed & self._world.living(), set()
        self._found["left over"] += [f"process {pid} of an engine or executor that was killed" for pid in alive]
