"""What happens in the same tick, or at an odd moment: on a machine where the test says what happens when."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowctl.engine import commands
from tests.simulation.imitation import Fate
from tests.simulation.programs import Call, Caught, Child, Gather, Program, Statement
from tests.simulation.stage import START_S, stage

HOUR_S = 3600.0


def program(*body: Statement, name: str = "main") -> Program:
    return Program(name, {}, body)


def lasts(seconds: float) -> list[Fate]:
    return [Fate(seconds, "returns", 1)]


def test_an_engine_that_waits_for_a_run_of_another_takes_it_over_when_that_one_dies(tmp_path: Path) -> None:
    with stage(tmp_path, [program(Call("work"))], {"work": lasts(60.0)}) as scene:
        run = scene.submit("main")
        first, second = scene.follow(run), scene.follow(run)
        scene.pass_time(5.0)
        assert ("running", [None]) == (scene.run_of(run).state, scene.bodies(run, "work"))
        first.die()
        scene.pass_time(5.0)
        assert not second.alive
        assert ["killed", "succeeded"] == scene.bodies(run, "work")
        assert "succeeded" == scene.run_of(run).state


def test_a_step_that_begins_in_the_tick_in_which_another_times_out_runs(tmp_path: Path) -> None:
    slow, quick = Call("slow", {"timeout_ms": 50, "retries": 1, "backoff_ms": 10}), Call("quick")
    once = Call("once", {"on_crash": "block"})
    fates = {"slow": lasts(HOUR_S), "quick": lasts(0.04), "once": lasts(1.0)}
    with stage(tmp_path, [program(Gather((slow, quick, once), 2))], fates) as scene:
        run = scene.submit("main")
        scene.follow(run, lag=0.05)
        scene.pass_time(30.0)
        assert "succeeded" == scene.run_of(run).state
        assert (["killed", "succeeded"], ["succeeded"]) == (scene.bodies(run, "slow"), scene.bodies(run, "once"))


def test_an_engine_does_not_spin_while_the_disk_is_full_and_something_is_overdue(tmp_path: Path) -> None:
    with stage(tmp_path, [program(Call("work", {"timeout_ms": 1_000}))], {"work": lasts(HOUR_S)}) as scene:
        run = scene.submit("main")
        scene.follow(run)
        scene.pass_time(0.5)
        scene.machine.disk_fails_until = 10.0
        before = scene.turns
        scene.pass_time(9.0)
        assert scene.turns - before <= 100
        assert "running" == scene.run_of(run).state
        scene.pass_time(10.0)
        assert "failed" == scene.run_of(run).state


def test_an_engine_does_not_spin_until_a_near_instant(tmp_path: Path) -> None:
    again = Call("again", {"retries": 1, "backoff_ms": 700, "jitter": 0.0})
    programs = [program(Call("work"), name="child"), program(Gather((again, Child("child")), 8))]
    fates = {"again": [Fate(0.0, "fails")], "work": lasts(0.25)}
    with stage(tmp_path, programs, fates) as scene:
        run = scene.submit("main")
        scene.follow(run)
        scene.pass_time(3.0)
        assert "succeeded" == scene.run_of(run).state
        assert 1 == scene.run_of(run).epoch, "its executor was to be kept"
        assert scene.turns <= 60


@pytest.mark.parametrize("by", ["pause", "ctrl-C"])
def test_a_run_is_paused_while_its_code_is_being_imported(tmp_path: Path, by: str) -> None:
    with stage(tmp_path, [program(Call("work"))]) as scene:
        run = scene.submit("main")
        host = scene.follow(run)
        scene.pass_time(1.5 * START_S)
        if by == "pause":
            commands.pause(scene.client.store, run, scene.machine.clock.now())
        else:
            host.interrupt()
        scene.pass_time(5.0)
        assert ("paused", []) == (scene.run_of(run).state, scene.bodies(run, "work"))


def test_what_a_pure_step_returned_is_recorded_while_its_run_is_being_cancelled(tmp_path: Path) -> None:
    with stage(tmp_path, [program(Call("look", {"pure": True}))], {"look": lasts(1.0)}) as scene:
        scene.machine.rates.refuses_term = 1.0
        run = scene.submit("main")
        scene.follow(run)
        scene.pass_time(0.5)
        commands.cancel(scene.client.store, run, scene.machine.clock.now())
        scene.pass_time(10.0)
        assert ("succeeded", "succeeded") == (scene.run_of(run).state, scene.step_of(run, "look").state)


def test_what_a_pure_step_returned_is_recorded_while_its_run_is_being_paused(tmp_path: Path) -> None:
    body = Gather((Call("work"), Call("look", {"pure": True})), 8)
    fates = {"work": lasts(2.0), "look": lasts(1.0)}
    with stage(tmp_path, [program(body)], fates) as scene:
        run = scene.submit("main")
        scene.follow(run)
        scene.pass_time(0.5)
        commands.pause(scene.client.store, run, scene.machine.clock.now())
        scene.pass_time(10.0)
        assert (["succeeded"], ["succeeded"]) == (scene.bodies(run, "work"), scene.bodies(run, "look"))
        assert "succeeded" == scene.run_of(run).state


def test_a_run_that_was_taken_from_an_engine_and_left_alone_goes_on_there(tmp_path: Path) -> None:
    programs = [program(Call("work"), name="child"), program(Child("child"))]
    with stage(tmp_path, programs, {"work": lasts(5.0)}) as scene:
        run = scene.submit("main")
        scene.follow(run)
        scene.pass_time(2.0)
        commands.steal(scene.client.store, run + 1, scene.machine.clock.now())
        scene.pass_time(5.0)
        assert "queued" == scene.run_of(run + 1).state, "it is left to whoever took it for a while"
        scene.pass_time(30.0)
        assert ["killed", "succeeded"] == scene.bodies(run + 1, "work")
        assert "succeeded" == scene.run_of(run).state


def test_a_failure_whose_record_had_no_answer_is_followed_by_one_attempt(tmp_path: Path) -> None:
    look = Call("look", {"pure": True, "retries": 3, "backoff_ms": 10})
    with stage(tmp_path, [program(look)], {"look": [Fate(0.5, "fails"), Fate(1.0, "returns", 5)]}) as scene:
        run = scene.submit("main")
        scene.follow(run)
        scene.pass_time(0.4)
        scene.machine.rates.answer_lost = 1.0
        scene.pass_time(0.2)
        scene.machine.rates.answer_lost = 0.0
        scene.pass_time(5.0)
        assert ["failed", "succeeded"] == scene.bodies(run, "look")
        assert ("succeeded", "5") == (scene.run_of(run).state, scene.step_of(run, "look").output)


def test_a_failed_child_is_not_tried_again_because_the_clock_was_set_back(tmp_path: Path) -> None:
    programs = [program(Call("work"), name="child"), program(Caught((Child("child"),)))]
    with stage(tmp_path, programs, {"work": [Fate(2.0, "fails")]}) as scene:
        run = scene.submit("main")
        scene.follow(run)
        scene.pass_time(1.0)
        scene.machine.clock.jump(-HOUR_S)
        scene.pass_time(10.0)
        assert ("succeeded", 1) == (scene.run_of(run).state, scene.run_of(run + 1).attempt)


def test_a_failed_child_is_tried_again_with_its_parent_although_the_clock_was_set_back(tmp_path: Path) -> None:
    programs = [program(Call("work"), name="child"), program(Child("child"))]
    with stage(tmp_path, programs, {"work": [Fate(2.0, "fails")]}) as scene:
        run = scene.submit("main")
        scene.follow(run)
        scene.pass_time(5.0)
        assert "failed" == scene.run_of(run).state
        scene.machine.clock.jump(-HOUR_S)
        commands.retry(scene.client.store, run, scene.machine.clock.now(), replay="pinned")
        scene.follow(run)
        scene.pass_time(5.0)
        assert ("succeeded", 2) == (scene.run_of(run).state, scene.run_of(run + 1).attempt)
