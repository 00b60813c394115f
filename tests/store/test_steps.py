"""Steps: one outcome each, and every attempt on the way to it."""

from __future__ import annotations

from typing import Any

import pytest

from flowctl.core.errors import Conflict
from flowctl.core.model import Attempt, Claim, Said
from tests.store.scene import Scene, dump, error, new_step


def attempts(scene: Scene, claim: Claim, key: str | None = None) -> list[tuple[str, int, str]]:
    return [(a.key, a.attempt, a.state) for a in scene.store.steps.attempts(claim.run_id, key)]


def back_off(scene: Scene, claim: Claim, key: str, delay: int = 50) -> None:
    scene.write(lambda: scene.store.steps.fail_attempt(claim, key, error(), scene.now + delay, scene.now))


def start(scene: Scene, claim: Claim, key: str) -> int:
    return int(scene.write(lambda: scene.store.steps.start_attempt(claim, key, scene.now)))


def test_the_row_that_begin_returns_is_the_row_that_is_stored(scene: Scene) -> None:
    claim = scene.held()
    begun = scene.begin(
        claim, "fetch#2", 1, kind="shell", source_hash=b"s" * 16, wake_at=5, on_crash="block", input='{"url":"x"}'
    )
    assert begun == scene.store.steps.get(claim.run_id, "fetch#2")
    assert ("fetch", "block", 1, 1) == (begun.name, begun.on_crash, begun.attempt, begun.first_attempt)


def test_input_is_recorded_before_and_output_after(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1, input='{"url":"x"}')
    (step,) = scene.store.steps.of_run(claim.run_id)
    assert ('{"url":"x"}', None, "running", None) == (step.input, step.output, step.state, step.finished_at)
    scene.now += 7
    scene.succeed(claim, "fetch", '{"pages":3}')
    (step,) = scene.store.steps.of_run(claim.run_id)
    assert ('{"pages":3}', "succeeded", scene.now) == (step.output, step.state, step.finished_at)
    assert [] == attempts(scene, claim)


def test_beginning_again_returns_the_row_as_it_is(scene: Scene) -> None:
    claim = scene.held()
    first = scene.begin(claim, "fetch", 1)
    scene.now += 5
    assert first == scene.begin(claim, "fetch", 1)
    back_off(scene, claim, "fetch")
    assert scene.now + 50 == scene.begin(claim, "fetch", 1).wake_at
    start(scene, claim, "fetch")
    scene.write(lambda: scene.store.steps.interrupt(claim, scene.now))
    assert "interrupted" == scene.begin(claim, "fetch", 1).state


@pytest.mark.parametrize("fields", [{"input_hash": b"other"}, {"kind": "shell"}, {"seq": 2}, {"key": "parse"}])
def test_beginning_again_with_something_else_is_a_defect(scene: Scene, fields: dict[str, Any]) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    before = dump(scene.store)
    with pytest.raises(ValueError, match="recorded"):
        scene.write(
            lambda: scene.store.steps.begin(claim, new_step(**({"key": "fetch", "seq": 1} | fields)), scene.now)
        )
    assert before == dump(scene.store)


def test_b01_a_second_outcome_is_refused_and_the_first_stands(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.succeed(claim, "fetch", '"first"')
    before = dump(scene.store)
    for action in (
        lambda: scene.store.steps.succeed(claim, "fetch", '"second"', scene.now),
        lambda: scene.store.steps.fail(claim, "fetch", error(), scene.now),
        lambda: scene.store.steps.fail_attempt(claim, "fetch", error(), scene.now, scene.now),
        lambda: scene.store.steps.start_attempt(claim, "fetch", scene.now),
        lambda: scene.store.steps.succeed(claim, "unknown", '"x"', scene.now),
    ):
        with pytest.raises(Conflict):
            scene.write(action)
    scene.write(lambda: scene.store.steps.cancel(claim, scene.now))
    scene.write(lambda: scene.store.steps.interrupt(claim, scene.now))
    assert before == dump(scene.store)


def test_h01_every_failed_attempt_is_a_row_with_its_error(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.now += 10
    back_off(scene, claim, "fetch")
    waiting = scene.store.steps.get(claim.run_id, "fetch")
    assert waiting is not None
    assert ("running", 1, scene.now + 50) == (waiting.state, waiting.attempt, waiting.wake_at)
    scene.now += 50
    assert 2 == start(scene, claim, "fetch")
    scene.now += 3
    scene.fail(claim, "fetch", "no again")
    began = scene.now - 63
    assert [
        Attempt("fetch", 1, "failed", error(), began, began + 10),
        Attempt("fetch", 2, "failed", error("no again"), began + 60, began + 63),
    ] == scene.store.steps.attempts(claim.run_id)
    (step,) = scene.store.steps.of_run(claim.run_id)
    assert ("failed", 2, 1, error("no again"), None) == (
        step.state, step.attempt, step.first_attempt, step.error, step.wake_at,
    )  # fmt: skip


def test_an_attempt_under_way_is_not_started_again(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    with pytest.raises(Conflict):
        start(scene, claim, "fetch")
    back_off(scene, claim, "fetch")
    with pytest.raises(Conflict):
        back_off(scene, claim, "fetch")
    assert 2 == start(scene, claim, "fetch")


def test_h06_an_interruption_is_a_row_that_does_not_count_as_a_failure(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.begin(claim, "other", 2)
    scene.write(lambda: scene.store.steps.interrupt(claim, scene.now, ["fetch"]))
    assert {"fetch": "interrupted", "other": "running"} == scene.states(claim.run_id)
    assert 2 == start(scene, claim, "fetch")
    (step, _) = scene.store.steps.of_run(claim.run_id)
    assert ("running", 2, 1) == (step.state, step.attempt, step.crashes)
    assert [("fetch", 1, "interrupted")] == attempts(scene, claim, "fetch")
    scene.succeed(claim, "fetch")
    assert [("fetch", 1, "interrupted")] == attempts(scene, claim)


def test_b01_an_interrupted_step_has_no_attempt_that_could_end(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.write(lambda: scene.store.steps.interrupt(claim, scene.now))
    before = dump(scene.store)
    with pytest.raises(Conflict, match="is not running"):
        scene.succeed(claim, "fetch")
    with pytest.raises(Conflict, match="has no attempt under way"):
        back_off(scene, claim, "fetch")
    assert before == dump(scene.store)


def test_b01_a_step_with_an_outcome_is_said_not_to_run(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.succeed(claim, "fetch")
    with pytest.raises(Conflict, match="is not running"):
        scene.fail(claim, "fetch")


def test_what_is_not_a_body_is_not_interrupted(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.begin(claim, "later", 2)
    back_off(scene, claim, "later")
    scene.begin(claim, "sleep", 3, kind="sleep", wake_at=scene.now + 9)
    scene.begin(claim, "child", 4, kind="child")
    scene.write(lambda: scene.store.steps.interrupt(claim, scene.now))
    assert {"fetch": "interrupted", "later": "running", "sleep": "running", "child": "running"} == scene.states(
        claim.run_id
    )
    assert ["fetch", "later", "sleep", "child"] == [step.key for step in scene.store.steps.unfinished(claim.run_id)]


def test_cancelling_ends_every_open_step_and_records_its_attempt_once(scene: Scene) -> None:
    claim = scene.held()
    for seq, key in enumerate(("done", "body", "later", "broken"), 1):
        scene.begin(claim, key, seq)
    scene.succeed(claim, "done")
    back_off(scene, claim, "later")
    scene.write(lambda: scene.store.steps.interrupt(claim, scene.now, ["broken"]))
    scene.write(lambda: scene.store.steps.cancel(claim, scene.now))
    assert {"done": "succeeded", "body": "cancelled", "later": "cancelled", "broken": "cancelled"} == scene.states(
        claim.run_id
    )
    assert [("body", 1, "cancelled"), ("broken", 1, "interrupted"), ("later", 1, "failed")] == attempts(scene, claim)
    assert [] == scene.store.steps.unfinished(claim.run_id)
    scene.finish(claim, "cancelled")
    assert [] == scene.store.check(full=True)


def test_a_step_may_fail_while_it_waits_for_its_next_attempt(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    back_off(scene, claim, "fetch")
    scene.fail(claim, "fetch", "out of time")
    assert [("fetch", 1, "failed")] == attempts(scene, claim)
    (step,) = scene.store.steps.of_run(claim.run_id)
    assert ("failed", error("out of time")) == (step.state, step.error)


def test_steps_are_read_in_the_programs_order_and_page_by_page(scene: Scene) -> None:
    claim = scene.held()
    with scene.store.transaction():
        for seq in range(1_203, 0, -1):
            scene.store.steps.begin(claim, new_step(f"fetch#{seq}", seq), scene.now)
    steps = scene.store.steps
    everything = [step.seq for step in steps.history(claim.run_id)]
    assert list(range(1, 1_204)) == everything
    assert everything == [step.seq for step in steps.of_run(claim.run_id)]
    assert [11, 12] == [step.seq for step in steps.of_run(claim.run_id, after_seq=10, limit=2)]
    assert 1_203 == steps.count(claim.run_id)
    assert steps.get(claim.run_id, "nowhere") is None


def test_logs_are_read_by_run_by_step_and_on_from_where_one_was(scene: Scene) -> None:
    first, second = scene.held(), scene.held()
    logs = scene.store.logs
    with scene.store.transaction():
        one = logs.append(first.run_id, None, None, 5, "stdout", None, "outside")
        two = logs.append(first.run_id, "fetch", 1, 6, "log", "WARNING", "slow")
        logs.append(second.run_id, "fetch", 1, 7, "stderr", None, "other run")
    assert ["outside", "slow"] == [line.text for line in logs.of_run(first.run_id)]
    assert [two] == [line.id for line in logs.of_run(first.run_id, "fetch")]
    assert [two] == [line.id for line in logs.of_run(first.run_id, after_id=one)]
    assert [one] == [line.id for line in logs.of_run(first.run_id, limit=1)]
    (line,) = logs.of_run(first.run_id, "fetch")
    assert ("fetch", 1, 6, "log", "WARNING") == (line.step, line.attempt, line.at, line.stream, line.level)


def test_lists_get_steps_attempts_and_child_runs_without_payloads(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    back_off(scene, claim, "fetch", 50)
    scene.begin(claim, "inner", 2, kind="child")
    child = scene.submit(parent_id=claim.run_id, parent_step="inner", root_id=claim.run_id)
    steps = scene.store.steps
    shown = [(each.key, each.kind, each.state, each.wake_at, each.shared) for each in steps.lines(claim.run_id)]
    assert [("fetch", "step", "running", scene.now + 50, False), ("inner", "child", "running", None, False)] == shown
    assert ["inner"] == [each.key for each in steps.lines(claim.run_id, after_seq=1)]
    assert [("fetch", 1, "failed", scene.now, scene.now)] == steps.attempt_lines(claim.run_id)
    assert {"inner": child} == steps.children(claim.run_id)


def test_a_step_that_has_its_outcome_has_begun_nothing_elsewhere_since(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "copy", 1)
    scene.write(lambda: scene.store.steps.set_external_id(claim, "copy", "upload 7", scene.now))
    scene.succeed(claim, "copy")
    with pytest.raises(Conflict, match="is not running"):
        scene.write(lambda: scene.store.steps.set_external_id(claim, "copy", "upload 8", scene.now))


def test_a_step_that_has_its_outcome_keeps_the_progress_it_had(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "copy", 1)
    for done in (1, 2):
        scene.write(lambda done=done: scene.store.steps.set_progress(claim, "copy", f'{{"done":{done}}}', scene.now))
        if done == 1:
            scene.succeed(claim, "copy")
    step = scene.store.steps.get(claim.run_id, "copy")
    assert step is not None
    assert '{"done":1}' == step.progress


def test_the_open_steps_of_a_run_that_is_not_cancelled_stay_open(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "copy", 1)
    scene.release(claim, "queued")
    scene.write(lambda: scene.store.steps.cancel_idle(claim.run_id, scene.now))
    assert {"copy": "running"} == scene.states(claim.run_id)
    assert [] == scene.store.steps.attempts(claim.run_id, "copy")


def test_a_fork_shares_what_has_its_outcome_alone(scene: Scene) -> None:
    claim, fork = scene.held(), scene.submit()
    for seq, key in enumerate(("fetch", "parse", "send"), 1):
        scene.begin(claim, key, seq)
    scene.succeed(claim, "fetch")
    scene.fail(claim, "parse")
    scene.write(lambda: scene.store.steps.share(claim.run_id, fork, 4))
    assert {"fetch": "succeeded", "parse": "failed"} == scene.states(fork)


def test_what_a_person_says_of_a_step_is_its_first_attempt_in_a_fork_and_the_next_in_the_same_run(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.succeed(claim, "fetch")
    done = scene.finish(claim)
    fork = scene.submit(forked_from=done.id, forked_step="fetch")
    (step,) = scene.store.steps.of_run(done.id)
    for number in (fork, done.id):
        scene.write(lambda number=number: scene.store.steps.say(number, step, Said("me", "2"), scene.now))
    said = [scene.store.steps.of_run(number)[0] for number in (fork, done.id)]
    assert [(1, "2", "me"), (2, "2", "me")] == [(each.attempt, each.output, each.said_by) for each in said]


def test_a_person_says_the_outcome_of_an_unfinished_step_of_a_blocked_run_alone(scene: Scene) -> None:
    claim, steps = scene.held(), scene.store.steps
    for seq, key in enumerate(("fetch", "send"), 1):
        scene.begin(claim, key, seq)
    scene.succeed(claim, "fetch")

    def conclude(key: str) -> Any:
        return scene.write(lambda: steps.conclude(claim.run_id, key, Said("ada", "1"), scene.now))

    assert not conclude("send")
    scene.release(claim, "blocked", reason="nobody knows")
    assert [False, True, False] == [conclude("fetch"), conclude("send"), conclude("send")]


def test_what_was_replaced_counts_for_nothing_but_history(scene: Scene) -> None:
    claim, steps = scene.held(), scene.store.steps
    scene.begin(claim, "undo", 1, kind="value", undoes=1)
    scene.succeed(claim, "undo")
    scene.begin(claim, "undo-1", 2, undoes=1)
    scene.begin(claim, "open", 3)
    assert (True, 1, 3) == (steps.undoable(claim.run_id), steps.undone_from(claim.run_id), steps.count(claim.run_id))
    assert ["undo-1", "open"] == [step.key for step in steps.unfinished(claim.run_id)]
    assert [] == steps.replaced(claim.run_id)
    scene.release(claim, "blocked", reason="for a person")
    scene.write(lambda: steps.supersede(claim.run_id, [], 1, scene.now))
    assert (False, None, 0) == (
        steps.undoable(claim.run_id),
        steps.undone_from(claim.run_id),
        steps.count(claim.run_id),
    )
    assert [] == steps.unfinished(claim.run_id) == steps.of_run(claim.run_id) == steps.lines(claim.run_id)
    assert ["undo", "undo-1", "open"] == [step.key for step in steps.replaced(claim.run_id)]
    assert None is steps.get(claim.run_id, "undo")
    scene.write(lambda: scene.store.runs.retry(claim.run_id, scene.now, replay="pinned"))
    again = scene.claim(claim.run_id)
    scene.begin(again, "undo", 1)
    assert ["undo-1", "open"] == [step.key for step in steps.replaced(claim.run_id)]
    scene.release(again, "blocked", reason="for a person")
    scene.write(lambda: steps.supersede(claim.run_id, [], 1, scene.now))
    replaced = [(step.key, step.attempt) for step in steps.replaced(claim.run_id)]
    assert [("undo", 2), ("undo-1", 1), ("open", 1)] == replaced


def test_an_attempt_that_is_recorded_already_is_not_interrupted_as_well(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "copy", 1)
    recorded = "INSERT INTO attempts SELECT run_id, key, attempt, 'failed', '{}', 0, started_at, started_at FROM steps"
    scene.write(lambda: scene.store.connection.write(recorded))
    scene.write(lambda: scene.store.steps.interrupt(claim, scene.now))
    assert ([("copy", 1, "failed")], {"copy": "interrupted"}) == (attempts(scene, claim), scene.states(claim.run_id))
