"""People: what they ask of runs, at random moments, through the commands that the command line calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from flowctl.core.errors import FlowctlError
from flowctl.core.model import FINAL_STATES, NewRun, Replay, Snapshot, code_of
from flowctl.engine import commands
from flowctl.sdk.codec import canonical_hash
from tests.simulation.machine import Killed, watch
from tests.simulation.programs import PATH, source

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")
REPLAYS: tuple[Replay, ...] = ("pinned", "newest", "accept")


class Client:
    """A person with a shell. Each command is a process that may die or find the disk full."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._machine = world.machine
        self._random = world.machine.random
        self.store = world.open_store()
        watch(self._machine, self.store, self._reach, lambda: world.on_commit(None))
        text = source(list(self._machine.programs.values()))
        self.snapshot = Snapshot(code_of(PATH, {PATH: text}), PATH, {PATH: text})
        self._keys = 0
        self._habits: dict[Callable[[], object], int] = {
            self._run: 4,
            self._submit: 2,
            self._follow: 2,
            self._cancel: 2,
            self._pause: 2,
            self._resume: 3,
            self._steal: 1,
            self._retry: 2,
            self._rerun: 1,
        }

    def act(self) -> None:
        """Do one thing or another."""
        habits = list(self._habits)
        self._random.choices(habits, list(self._habits.values()))[0]()

    def meddle(self, run_id: int) -> None:
        """Do something to a run of this family, at this very moment."""
        family = [run.id for run in self.store.runs.family(run_id)]
        target = self._random.choice(family)
        self._random.choice((self._cancel, self._pause, self._resume, self._pause_and_resume))(target)

    def _reach(self, place: str) -> None:
        if self._machine.fault("kill"):
            raise Killed(place)

    def _ask(self, what: str, command: Callable[[], T]) -> T | None:
        """Run a command to its end, its refusal or its death."""
        self._machine.note(what)
        try:
            return command()
        except FlowctlError as error:
            self._machine.note(f"refused: {type(error).__name__}")
        except Killed:
            self._machine.note("the command dies")
        return None

    # -- runs that are new ---------------------------------------------------------------------------------------------

    def _new_run(self) -> NewRun:
        random = self._random
        program = random.choice(list(self._machine.programs.values()))
        text = f'{{"n":{random.randrange(100)}}}'
        key = f"key{random.randrange(5)}" if random.random() < 0.15 else None
        options = dict(program.options)
        return NewRun(
            workflow=program.name,
            path=PATH,
            function=program.name,
            code=self.snapshot.code,
            directory="/flows",
            input=text,
            input_hash=canonical_hash(text),
            options={name: options[name] for name in options if name not in ("priority", "queue", "tags")},
            priority=options.get("priority", 0),
            key=key,
            wake_at=self._machine.clock.now() + random.choice((200, 60_000)) if random.random() < 0.1 else None,
        )

    def _submit(self) -> int | None:
        new = self._new_run()
        made = self._ask(
            f"submit {new.workflow}",
            lambda: commands.submit(self.store, new, self.snapshot, self._machine.clock.now()),
        )
        if made is None:
            return None
        self._world.checks.acknowledged[made[0]] = new.workflow
        return made[0]

    def _run(self) -> None:
        number = self._submit()
        if number is not None:
            self._world.host(number)

    def _rerun(self) -> None:
        target = self._any_run()
        if target is None:
            return
        number = self._ask(
            f"rerun {target}", lambda: commands.rerun(self.store, target, self._machine.clock.now(), self.snapshot)
        )
        if number is not None:
            self._world.checks.acknowledged[number] = self.store.runs.get(number).workflow
            self._world.host(number)

    def _follow(self) -> None:
        """Submit a run again under the key that it has, as far as engines can tell: then two follow it."""
        number = self._any_run()
        if number is not None:
            self._world.host(number)

    # -- runs that are there -------------------------------------------------------------------------------------------

    def _any_run(self) -> int | None:
        """Return a run: one of the newest rather than an old one."""
        count = self._world.count_runs()
        if not count:
            return None
        return (
            max(1, count - int(self._random.expovariate(0.5)))
            if self._random.random() < 0.8
            else self._random.randint(1, count)
        )

    def _cancel(self, target: int | None = None) -> None:
        number = target or self._any_run()
        if number is not None:
            self._ask(f"cancel {number}", lambda: commands.cancel(self.store, number, self._machine.clock.now()))

    def _pause(self, target: int | None = None) -> None:
        number = target or self._any_run()
        if number is not None:
            self._ask(f"pause {number}", lambda: commands.pause(self.store, number, self._machine.clock.now()))

    def _pause_and_resume(self, target: int | None = None) -> None:
        self._pause(target)
        self._resume(target)

    def _resume(self, target: int | None = None) -> None:
        number = target or self._any_run()
        if number is None:
            return
        done = self._ask(f"resume {number}", lambda: commands.resume(self.store, number, self._machine.clock.now()))
        if done is not None:
            self._world.host(number, exclusive=self._random.random() < 0.7)

    def _steal(self) -> None:
        number = self._any_run()
        if number is None:
            return
        done = self._ask(f"steal {number}", lambda: commands.steal(self.store, number, self._machine.clock.now()))
        if done is not None:
            self._resume(number)

    def _retry(self) -> None:
        number = self._any_run()
        if number is None:
            return
        replay = self._random.choice(REPLAYS)
        steps = self.store.steps.of_run(number)
        from_step = self._random.choice(steps).key if steps and self._random.random() < 0.3 else None
        done = self._ask(
            f"retry {number} {replay} {from_step}",
            lambda: commands.retry(
                self.store,
                number,
                self._machine.clock.now(),
                replay=replay,
                snapshot=self.snapshot,
                from_step=from_step,
            ),
        )
        if done is not None:
            self._world.host(number, exclusive=True)

    # -- when everything is well again ---------------------------------------------------------------------------------

    def attend(self) -> int | None:
        """Let the oldest run that has not ended go on, as a person would; return its number, None when all have."""
        for number in range(1, self._world.count_runs() + 1):
            run = self.store.runs.get(number)
            if run.state in FINAL_STATES:
                continue
            for member in self.store.runs.family(run.root_id or run.id):
                now = self._machine.clock.now()
                if member.state == "paused":
                    commands.resume(self.store, member.id, now)
                elif member.state == "blocked":
                    commands.retry(self.store, member.id, now, replay="accept")
            return number
        return None
