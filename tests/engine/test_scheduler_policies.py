"""Overlap, pauses, schedules that pause themselves, missing workflows, boots, and schedules that cannot be planned."""

from __future__ import annotations

import json

import pytest

from flowctl.core.errors import Conflict, NotFound, UsageError
from flowctl.engine import schedules
from tests.engine.rhythm import DAY, HOUR, MINUTE, SECOND, START, Rhythm


def test_e11_skip_leaves_a_row_that_names_the_run_in_the_way(rhythm: Rhythm) -> None:
    rhythm.add(expression="30s", kind="every", overlap="skip")
    rhythm.run_for(30 * SECOND)
    rhythm.begin(1)
    rhythm.run_for(60 * SECOND)
    assert [("fired", None)] + [("skipped", "overlap, run 1 is still running")] * 2 == rhythm.told()
    rhythm.end(1)
    rhythm.run_for(30 * SECOND)
    assert "fired" == rhythm.outcomes()[-1]


def test_e11_queue_lets_one_wait_and_no_more(rhythm: Rhythm) -> None:
    rhythm.add(expression="30s", kind="every", overlap="queue")
    rhythm.run_for(30 * SECOND)
    rhythm.begin(1)
    rhythm.run_for(60 * SECOND)
    assert ["running", "waiting"] == rhythm.states()
    assert [("fired", 1), ("fired", 2), ("coalesced", 2)] == [(slot.outcome, slot.run_id) for slot in rhythm.slots()]
    assert "overlap, run 2 is waiting already" == rhythm.slots()[2].reason
    rhythm.end(1)
    rhythm.look()
    assert ["succeeded", "queued"] == rhythm.states()


def test_e11_a_run_that_waits_is_behind_the_earlier_one_again_after_a_pause(rhythm: Rhythm) -> None:
    rhythm.add(expression="30s", kind="every", overlap="queue")
    rhythm.run_for(30 * SECOND)
    rhythm.begin(1)
    rhythm.run_for(30 * SECOND)
    pause_and_resume(rhythm, 2)
    rhythm.run_for(30 * SECOND)
    assert ["running", "waiting"] == rhythm.states()
    assert "until run 1 has ended" == rhythm.runs()[1].reason
    rhythm.end(1)
    pause_and_resume(rhythm, 2)
    run = rhythm.runs()[1]
    assert ("queued", None, None) == (run.state, run.reason, run.after_id)


def pause_and_resume(rhythm: Rhythm, number: int) -> None:
    with rhythm.store.transaction():
        rhythm.store.runs.pause_idle(number, rhythm.clock.wall, "paused by a person")
        rhythm.store.runs.resume(number, rhythm.clock.wall)


def test_e11_a_run_that_waited_and_was_cancelled_waits_no_more_when_it_is_retried(rhythm: Rhythm) -> None:
    rhythm.add(expression="30s", kind="every", overlap="queue")
    rhythm.run_for(30 * SECOND)
    rhythm.begin(1)
    rhythm.run_for(30 * SECOND)
    with rhythm.store.transaction():
        rhythm.store.runs.cancel_idle(2, rhythm.clock.wall, "cancelled")
        rhythm.store.runs.retry(2, rhythm.clock.wall, replay="pinned")
    rhythm.begin(2)
    rhythm.run_for(30 * SECOND)
    assert [("fired", 1), ("fired", 2), ("fired", 3)] == [(slot.outcome, slot.run_id) for slot in rhythm.slots()]
    assert 2 == rhythm.runs()[2].after_id


def test_e11_allow_starts_every_one(rhythm: Rhythm) -> None:
    rhythm.add(expression="30s", kind="every", overlap="allow")
    rhythm.run_for(90 * SECOND)
    assert ["queued"] * 3 == rhythm.states()


def test_e11_replace_cancels_the_earlier_run_and_waits_for_its_end(rhythm: Rhythm) -> None:
    rhythm.add(expression="30s", kind="every", overlap="replace")
    rhythm.run_for(30 * SECOND)
    rhythm.begin(1)
    rhythm.run_for(30 * SECOND)
    assert ["running", "waiting"] == rhythm.states()
    assert "cancel" == rhythm.runs()[0].request
    rhythm.run_for(30 * SECOND)  # the one that waits is replaced too, and the first is still in the way
    assert ["running", "cancelled", "waiting"] == rhythm.states()
    assert 1 == rhythm.runs()[2].after_id
    rhythm.end(1, "cancelled")
    rhythm.look()
    assert ["cancelled", "cancelled", "queued"] == rhythm.states()


def test_e11_an_idle_run_is_replaced_at_once(rhythm: Rhythm) -> None:
    rhythm.add(overlap="replace")
    rhythm.run_for(2 * HOUR)
    assert ["cancelled", "queued"] == rhythm.states()


def test_slots_that_would_join_a_slot_that_is_skipped_are_skipped_too(rhythm: Rhythm) -> None:
    rhythm.add()
    rhythm.run_for(HOUR)
    rhythm.begin(1)
    rhythm.be_off(2 * HOUR)
    assert [("skipped", "overlap, run 1 is still running")] * 2 == rhythm.told()[1:]


def test_e12_a_pause_leaves_rows_and_nothing_is_made_up_for(rhythm: Rhythm) -> None:
    rhythm.add(catch_up="all")
    schedules.pause(rhythm.store, "default", "nightly", rhythm.clock.wall, "deploy")
    rhythm.run_for(3 * HOUR)
    rhythm.clock.pass_time(3 * HOUR + MINUTE)  # off, and resumed before the daemon comes back
    schedules.resume(rhythm.store, "default", "nightly", rhythm.clock.wall)
    rhythm.be_off(HOUR)
    assert [("skipped", "paused (deploy)")] * 6 + [("fired", None)] == rhythm.told()
    assert [START + 7 * HOUR] == [run.due_at for run in rhythm.runs()]


def test_a_schedule_pauses_itself_after_failures_in_a_row_and_lets_a_probe_through_each_day(rhythm: Rhythm) -> None:
    rhythm.add(pause_after=3)
    for _ in range(3):
        rhythm.run_for(HOUR)
        rhythm.end_all("failed")
    rhythm.run_for(HOUR)
    assert "3 failed runs in a row" == rhythm.schedule().pause_reason
    assert 3 == len(rhythm.runs())
    rhythm.run_for(DAY)
    assert [START + 27 * HOUR] == [run.due_at for run in rhythm.runs()[3:]]
    rhythm.end_all("failed")
    rhythm.run_for(DAY)
    assert [START + 51 * HOUR] == [run.due_at for run in rhythm.runs()[4:]]
    rhythm.end_all("succeeded")
    rhythm.run_for(HOUR)
    assert rhythm.schedule().paused_at is None
    assert ["paused itself: 3 failed runs in a row", "resumed itself: its probe succeeded"] == [
        note for note in rhythm.notes("schedule nightly") if "itself" in note
    ]
    assert "fired" == rhythm.outcomes()[-1]


def test_a_schedule_that_has_paused_itself_lets_no_probe_through_once_a_person_pauses_it(rhythm: Rhythm) -> None:
    rhythm.add(pause_after=1)
    rhythm.run_for(HOUR)
    rhythm.end_all("failed")
    rhythm.run_for(HOUR)
    assert "1 failed runs in a row" == rhythm.schedule().pause_reason
    schedules.pause(rhythm.store, "default", "nightly", rhythm.clock.wall)
    rhythm.run_for(3 * DAY)
    assert ("by a person", 1) == (rhythm.schedule().pause_reason, len(rhythm.runs()))


def test_failures_before_a_resume_or_with_a_success_between_do_not_count(rhythm: Rhythm) -> None:
    rhythm.add(pause_after=2)
    for state in ("failed", "succeeded", "failed", "cancelled"):
        rhythm.run_for(HOUR)
        rhythm.end_all(state)
    rhythm.run_for(HOUR)
    assert rhythm.schedule().paused_at is None
    rhythm.end_all("failed")
    rhythm.run_for(HOUR)
    assert rhythm.schedule().paused_at is not None
    rhythm.clock.pass_time(1)
    schedules.resume(rhythm.store, "default", "nightly", rhythm.clock.wall)
    rhythm.run_for(HOUR)
    assert rhythm.schedule().paused_at is None


def test_e14_a_missing_workflow_makes_a_failed_run_at_each_slot_and_the_schedule_stays(rhythm: Rhythm) -> None:
    rhythm.register()
    rhythm.add(workflow="digest", input="{}")
    rhythm.run_for(HOUR)
    rhythm.end_all()
    rhythm.file.unlink()
    rhythm.run_for(2 * HOUR)
    assert ["succeeded", "failed", "failed"] == rhythm.states()
    error = json.loads(rhythm.runs()[1].error or "")
    assert "WorkflowMissing" == error["type"]
    assert f"the file of the workflow digest is gone: {rhythm.file}" in error["message"]
    with rhythm.store.transaction():
        rhythm.store.workflows.remove("default", "digest")
    rhythm.run_for(HOUR)
    assert "the workflow digest is not registered" in (rhythm.runs()[3].error or "")
    assert ["fired"] * 4 == rhythm.outcomes()
    rhythm.file.write_text("...")
    rhythm.register()
    rhythm.run_for(HOUR)
    assert "queued" == rhythm.states()[4]


def test_a_run_gets_the_registered_version_until_an_edit_is_taken_up(rhythm: Rhythm) -> None:
    rhythm.register()
    rhythm.add(workflow="digest", input="{}")
    registered = rhythm.file.read_text()
    rhythm.file.write_text("# edited\n")
    rhythm.run_for(HOUR)
    [run] = rhythm.runs()
    assert {str(rhythm.file): registered} == rhythm.store.snapshots.get(run.code).files


def test_a_run_gets_what_schedule_and_workflow_say_of_it_the_schedule_first(rhythm: Rhythm) -> None:
    with rhythm.store.transaction():
        own = rhythm.store.environments.put({"PATH": "/own"})
        other = rhythm.store.environments.put({"PATH": "/other"})
    rhythm.register(environment=other, python="/usr/bin/python3")
    asked = {"queue": "slow", "priority": 3, "tags": {"a": "b"}, "timeout_ms": 5, "requires": ["gpu"]}
    rhythm.add("one", workflow="digest", input="{}", environment=own, options=asked, env_file="/e", python="/p")
    rhythm.add("two", workflow="digest", input="{}")
    rhythm.run_for(HOUR)
    [one], [two] = rhythm.runs("one"), rhythm.runs("two")
    assert (own, "/p", "/e", "slow", 3, {"a": "b"}) == (
        one.environment, one.python, one.env_file, one.queue, one.priority, one.tags,
    )  # fmt: skip
    assert ({"timeout_ms": 5, "requires": ["gpu"]}, '["gpu"]') == (one.options, one.requires)
    assert (other, "/usr/bin/python3", None, "default") == (two.environment, two.python, two.env_file, two.queue)


def test_a_reboot_fires_once_after_each_start_of_the_machine_and_not_when_it_is_made(rhythm: Rhythm) -> None:
    rhythm.store.connection.raw.execute("SELECT 1").fetchall()
    schedule = rhythm.add(expression="@reboot")
    with rhythm.store.transaction():
        rhythm.store.schedules.set_booted(schedule.id, "boot-1")
    rhythm.start()
    rhythm.look()
    assert [] == rhythm.runs()
    rhythm.boot = "boot-2"
    for _ in range(2):
        rhythm.be_off(MINUTE)
        rhythm.look()
    assert [("fired", None)] == rhythm.told()
    assert schedule.next_at is None
    rhythm.end_all()
    rhythm.boot = "boot-3"
    rhythm.be_off(MINUTE)
    assert 2 == len(rhythm.runs())


def test_a_schedule_that_cannot_be_planned_does_not_stop_the_others(rhythm: Rhythm) -> None:
    rhythm.add("bad")
    rhythm.add("damaged")
    rhythm.add("good")
    with rhythm.store.transaction():
        rhythm.store.connection.write("UPDATE schedules SET zone = 'Atlantis/City' WHERE name = 'bad'")
        rhythm.store.connection.write("UPDATE schedules SET expression = 'never' WHERE name = 'damaged'")
    rhythm.run_for(5 * HOUR)
    assert 5 == len(rhythm.outcomes("good"))
    [missed] = rhythm.told("bad")
    assert ("missed", "unknown time zone 'Atlantis/City'") == missed
    assert 1 == sum("could not be planned" in note for note in rhythm.notes("schedule bad"))
    assert ["missed"] == rhythm.outcomes("damaged")
    with rhythm.store.transaction():
        rhythm.store.connection.write("UPDATE schedules SET zone = 'UTC' WHERE name = 'bad'")
    rhythm.run_for(2 * HOUR)
    assert [START + hour * HOUR for hour in range(1, 8)] == [slot.due_at for slot in rhythm.slots("bad")]


def test_e13_what_it_is_already_changes_nothing_and_another_rhythm_does_not_fire_at_once(rhythm: Rhythm) -> None:
    rhythm.add()
    rhythm.run_for(2 * HOUR + 30 * MINUTE)
    before = rhythm.schedule()
    rhythm.clock.pass_time(MINUTE)
    assert before == schedules.update(rhythm.store, rhythm.new(), rhythm.clock.wall)
    rhythm.clock.pass_time(2 * HOUR)  # off: two slots are due when it is changed
    after = schedules.update(rhythm.store, rhythm.new(expression="45 * * * *"), rhythm.clock.wall)
    assert (before.id, START + 4 * HOUR + 45 * MINUTE) == (after.id, after.next_at)
    rhythm.look()
    told = rhythm.told()
    assert ["fired", "skipped", "missed", "missed"] == [outcome for outcome, _ in told]
    assert "the schedule was changed before flowctl came to it" == told[2][1]


def test_e13_another_policy_keeps_the_rhythm(rhythm: Rhythm) -> None:
    rhythm.add()
    rhythm.run_for(HOUR)
    before = rhythm.schedule()
    after = schedules.update(rhythm.store, rhythm.new(overlap="queue"), rhythm.clock.wall)
    assert (before.next_at, before.planned_to, "queue") == (after.next_at, after.planned_to, after.overlap)


def test_a_schedule_that_is_never_due_is_refused(rhythm: Rhythm) -> None:
    with pytest.raises(UsageError, match="never due"):
        rhythm.add(end_at=START - 1)
    rhythm.add("soon", "2030-01-01T00:00:00Z", kind="once")
    with pytest.raises(UsageError, match="2020-01-01T00:00:00Z has passed"):
        schedules.update(rhythm.store, rhythm.new("soon", "2020-01-01T00:00:00Z", kind="once"), rhythm.clock.wall)
    with pytest.raises(UsageError, match="no year has such a date"):
        rhythm.add(expression="0 0 30 2 *")
    rhythm.add()
    with pytest.raises(Conflict, match="there is a schedule nightly already"):
        rhythm.add()
    with pytest.raises(NotFound) as caught:
        rhythm.schedule("nigthly")
    assert "did you mean nightly?" == caught.value.hint


def test_a_trigger_makes_a_run_outside_the_rhythm_that_waits_for_the_one_before(rhythm: Rhythm) -> None:
    rhythm.add()
    rhythm.run_for(HOUR)
    number = schedules.trigger(rhythm.store, "default", "nightly", rhythm.clock.wall)
    run = rhythm.runs()[1]
    assert (number, None, "waiting", 1) == (run.id, run.due_at, run.state, run.after_id)
    assert 1 == len(rhythm.slots())


def test_a_backfill_gives_runs_to_the_slots_that_have_none(rhythm: Rhythm) -> None:
    rhythm.add(catch_up="skip")
    rhythm.run_for(HOUR)
    rhythm.end_all()
    rhythm.be_off(3 * HOUR)
    wanted = schedules.unfired(rhythm.store, rhythm.schedule(), START - 2 * HOUR, START + 4 * HOUR, 100)
    assert [START + hour * HOUR for hour in (-2, -1, 0, 2, 3)] == wanted
    filled = schedules.backfill(rhythm.store, "default", "nightly", wanted, rhythm.clock.wall)
    assert wanted == [each.due_at for each in filled]
    assert ["fired"] * 7 == rhythm.outcomes()
    assert [] == schedules.backfill(rhythm.store, "default", "nightly", wanted, rhythm.clock.wall)
    waits = [(run.state, run.after_id) for run in rhythm.runs()[2:]]
    assert [("waiting", number) for number in range(2, 7)] == waits
    with pytest.raises(UsageError, match="more than 2 slots"):
        schedules.unfired(rhythm.store, rhythm.schedule(), START - 9 * HOUR, START, 2)


def test_a_removed_schedule_takes_its_slots_along_and_leaves_its_runs(rhythm: Rhythm) -> None:
    rhythm.add()
    rhythm.run_for(HOUR)
    schedules.remove(rhythm.store, "default", ["nightly"], rhythm.clock.wall)
    assert 1 == len(rhythm.runs())
    assert 0 == rhythm.store.connection.value("SELECT count(*) FROM slots")
    assert rhythm.look() is None


def test_d08_another_zone_of_the_machine_moves_its_own_schedules_and_no_others(
    rhythm: Rhythm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    rhythm.add("own", "0 7 * * *", zone="")
    rhythm.add("fixed", "0 7 * * *", zone="UTC")
    rhythm.run_for(HOUR)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    rhythm.run_for(DAY)
    assert [START + 22 * HOUR] == [run.due_at for run in rhythm.runs("own")]
    assert [START + 7 * HOUR] == [run.due_at for run in rhythm.runs("fixed")]
    assert ["time zone changed from UTC to Asia/Tokyo"] == rhythm.notes("machine")
    monkeypatch.setenv("TZ", "UTC")
    rhythm.end_all(name="own")
    rhythm.be_off(DAY)  # the zone is another one when the daemon starts
    assert [START + 22 * HOUR, START + 31 * HOUR] == [run.due_at for run in rhythm.runs("own")]
