"""The doctor: each thing that keeps work from being done is named with the command that helps, and nothing else is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.model import NewEngine, NewWorkflow
from flowctl.engine import surroundings
from flowctl.engine.claim import lock_path
from flowctl.engine.doctor import Diagnosis, examine, fix
from flowctl.engine.drift import drift
from flowctl.store import Store
from tests.engine.living import add_schedule, add_slot, claimed, live_daemon, live_engine
from tests.store.scene import SNAPSHOT, Scene

NOW = 1_800_000_000_000
HOUR = 3_600_000


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Store.open(tmp_path / "flow.db") as store:
        found = Scene(store)
        found.now = NOW
        yield found


def found(scene: Scene) -> dict[str, Diagnosis]:
    """Return the last finding of each check that is not well."""
    return {each.check: each for each in examine(scene.store, scene.now) if each.level != "ok"}


def test_a_file_that_is_well_has_nothing_wrong(scene: Scene) -> None:
    assert {} == found(scene)
    assert {"ok"} == {each.level for each in examine(scene.store, scene.now)}


def test_damage_and_open_permissions_are_told(scene: Scene) -> None:
    os.chmod(scene.store.path, 0o644)
    assert ("warning", scene.store.path) == found(scene)["file"][1:3]
    os.chmod(scene.store.path, 0o600)
    with scene.store.transaction():
        scene.store.connection.write("DROP TRIGGER sources_recorded")
    diagnosis = found(scene)["file"]
    assert ("broken", "trigger sources_recorded") == diagnosis[1:3]
    assert "flowctl db restore FILE" in diagnosis.hint


# -- where it is


@pytest.mark.parametrize(
    ("kind", "network"),
    [
        *((kind, False) for kind in ("ext4", "btrfs", "tmpfs", "fuseblk", "fuse.gocryptfs")),
        *((kind, True) for kind in ("nfs4", "cifs", "smb3", "9p", "fuse.sshfs")),
    ],
)
def test_j22_a_network_file_system_is_known_by_its_type(kind: str, network: bool) -> None:
    assert network == surroundings.is_network(kind)


def test_j22_the_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\nserver:/home /home/my\\040own nfs4 rw 0 0\n"
        "/dev/sdb1 /home/my\\040own/disk xfs rw 0 0\nbroken\n"
    )
    asked = ("/etc/x", "/home/my own/x.db", "/home/my own/disk/x.db", "/home/my ownership/x")
    assert ["ext4", "nfs4", "xfs", "ext4"] == [surroundings.file_system(path, str(mounts)) for path in asked]
    assert "" == surroundings.file_system("/etc", str(tmp_path / "nothing"))


def test_j22_a_database_on_a_network_file_system_or_in_a_synced_folder_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Dropbox" / "flow"
    folder.mkdir(parents=True)
    with Store.open(folder / "flow.db") as store:
        scene = Scene(store)
        scene.now = NOW
        assert "Dropbox, which seems to be copied" in found(scene)["place"].message
        (folder / ".stfolder").mkdir()
        assert f"is in {folder}" in found(scene)["place"].message
        folder.parent.rename(tmp_path / "plain")
    (tmp_path / "plain" / "flow" / ".stfolder").rmdir()
    with Store.open(tmp_path / "plain" / "flow" / "flow.db") as store:
        scene = Scene(store)
        scene.now = NOW
        assert "place" not in found(scene)
        monkeypatch.setattr(surroundings, "file_system", lambda _: "nfs4")
        assert "a network file system (nfs4)" in found(scene)["place"].message


def test_j22_the_daemon_says_at_its_start_that_its_file_is_in_a_synced_folder(flowctl: Any, tmp_path: Path) -> None:
    path = tmp_path / "Dropbox" / "flow.db"
    flowctl("--db", path, "daemon", "start")
    try:
        said = flowctl("--db", path, "daemon", "logs").stdout
    finally:
        flowctl("--db", path, "daemon", "stop", "--now")
    assert f"warning: {path} is in {path.parent}, which seems to be copied to other machines" in said


def test_j24_an_engine_of_another_machine_is_told_and_one_of_an_earlier_boot_is_not(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "uptime_ms", lambda: HOUR)
    scene.now -= 2 * HOUR
    with scene.store.transaction():
        earlier = scene.store.engines.start(NewEngine("a", "daemon", 7, "another boot"), scene.now)
    scene.now += 2 * HOUR
    assert "machines" not in found(scene)  # this machine's own, before it was started again
    with scene.store.transaction():
        scene.store.connection.write("UPDATE meta SET value = 'another' WHERE key = 'machine'")
    assert "another machine works with this file: process 7" in found(scene)["machines"].message
    with scene.store.transaction():
        scene.store.engines.stop(earlier, scene.now)
    assert "machines" not in found(scene)  # the file was brought here
    scene.now -= HOUR // 2
    with scene.store.transaction():
        scene.store.engines.start(NewEngine("b", "daemon", 8, "another boot"), scene.now)
    scene.now += HOUR // 2
    assert ("broken", "process 8" in found(scene)["machines"].message) == (found(scene)["machines"].level, True)


def test_a_full_disk_and_a_clock_that_was_never_set_are_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowctl.engine.doctor.FREE_BYTES", 1 << 62)
    scene.now = 1_000
    assert ("warning", "broken") == (found(scene)["disk"].level, found(scene)["clock"].level)


def of_the_clock(flowctl: Any, **env: str) -> list[tuple[str, str, str]]:
    """Return what the doctor says of clock and time zone."""
    told = flowctl("doctor", "--json", code=None, **env).json
    return [(each["level"], each["subject"], each["message"]) for each in told if each["check"] == "clock"]


def test_a_tz_that_names_no_zone_is_told(flowctl: Any) -> None:
    flowctl("exec", "--", "true")
    for name in ("Nowhere/Bad", "CET-1CEST,M3.5.0,M10.5.0/3"):
        text = f"'{name}' names no time zone, so schedules that name none either follow UTC"
        assert [("warning", "TZ", text)] == of_the_clock(flowctl, TZ=name)
    for name in ("Asia/Tokyo", ":Asia/Tokyo", "/usr/share/zoneinfo/Asia/Tokyo", "UTC", ""):
        assert ["ok"] == [level for level, *_ in of_the_clock(flowctl, TZ=name)]


def test_a_machine_without_time_zone_data_is_told(flowctl: Any, tmp_path: Path) -> None:
    flowctl("exec", "--", "true")
    hides = tmp_path / "hides" / "tzdata"  # the package of that name, which Python takes where the machine has no data
    hides.mkdir(parents=True)
    (hides / "__init__.py").touch()
    path = f"{hides.parent}{os.pathsep}{os.environ['PYTHONPATH']}"
    text = "it has no time zone data, so no zone but UTC can be looked up"
    told = of_the_clock(flowctl, PYTHONTZPATH=str(tmp_path), PYTHONPATH=path, TZ="Europe/Berlin")
    assert [("warning", "this machine", text)] == told


# -- schedules and engines


def test_schedules_need_a_daemon_a_zone_and_to_be_in_time(scene: Scene) -> None:
    add_schedule(scene, next_at=NOW + HOUR)
    assert ("daemon", "flowctl daemon start") == (found(scene)["schedules"].subject, found(scene)["schedules"].hint)
    with live_daemon(scene):
        assert "schedules" not in found(scene)
        add_schedule(scene, "late", next_at=NOW - HOUR)
        assert "is 1h00m late" in found(scene)["schedules"].message
        add_schedule(scene, "nowhere", zone="Mars/Olympus", next_at=NOW + HOUR)
        told = [each for each in examine(scene.store, NOW) if each.subject == "schedule nowhere"]
        assert [("broken", True)] == [(each.level, "Mars/Olympus" in each.message) for each in told]


def test_what_needs_no_decision_is_put_right_and_no_recorded_outcome_changes(scene: Scene) -> None:
    lost, ended = add_schedule(scene, "lost"), add_schedule(scene, "ended", kind="once", expression=f"{NOW - HOUR}")
    stuck = add_schedule(scene, "stuck", next_at=NOW - 2 * HOUR)
    add_slot(scene, stuck, NOW - HOUR, "skipped", "overlap")
    with live_engine(scene) as engine:
        claim = claimed(scene, engine, scene.submit())
        assert "engines" not in found(scene)
    stale = lock_path(scene.store.path, "nobody")
    stale.touch()
    with live_daemon(scene):
        told = examine(scene.store, NOW)
        wrong = [each.subject for each in told if each.level != "ok"]
        assert ["schedule lost", "schedule stuck", "schedule stuck", "process 4711", str(stale)] == sorted(
            wrong, key=["schedule lost", "schedule stuck", "process 4711", str(stale)].index
        )
        before = scene.store.connection.rows("SELECT * FROM slots")
        assert 4 == len(fix(scene.store, NOW))
        assert {} == found(scene)
        assert [] == fix(scene.store, NOW)
    assert not stale.exists()
    assert "queued" == scene.store.runs.get(claim.run_id).state
    assert before == scene.store.connection.rows("SELECT * FROM slots")
    assert {lost: True, ended: False, stuck: True} == {
        each.id: each.next_at is not None and each.next_at > NOW - 1 for each in scene.store.doctor.schedules()
    }


def test_a_channel_that_does_not_deliver_is_told(scene: Scene) -> None:
    from flowctl.core.notices import Channel, NewNotice

    with scene.store.transaction():
        channel = Channel(0, "default", "hook", "webhook", {}, None, 1, 0)
        number = scene.store.notices.add_channel(channel, NOW)
        notice = scene.store.notices.add(NewNotice(number, "run 1", "failed", 1, "x"), NOW, NOW)
        scene.store.notices.not_sent(notice.id, "the webhook answered 500", NOW + 1)
    assert "1 message could not be delivered yet: the webhook answered 500" == found(scene)["channels"].message


# -- drift


def drifted(scene: Scene, environ: dict[str, str], workflow: str | None = None) -> list[tuple[str, str, str]]:
    return [each[1:4] for each in drift(scene.store, "default", environ, workflow)]


def register(scene: Scene, path: Path, **fields: Any) -> None:
    new = NewWorkflow("digest", str(path), "digest", {}, {}, "", SNAPSHOT.code, str(path.parent))
    with scene.store.transaction():
        scene.store.workflows.add(new._replace(**fields), NOW)


def test_what_a_workflow_was_registered_with_is_compared_with_what_is_there(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "flows"
    folder.mkdir(mode=0o755)
    path = folder / "digest.py"
    path.write_text("")
    path.chmod(0o644)
    with scene.store.transaction():
        environment = scene.store.environments.put({"PATH": f"/nowhere:{tmp_path}", "TOKEN": "hush", "SHLVL": "1"})
    register(scene, path, environment=environment)
    here = {"PATH": f"/nowhere:{tmp_path}", "TOKEN": "hush", "SHLVL": "2"}
    gone = ("warning", "workflow digest", "its PATH names folders that are gone: /nowhere")
    assert [gone] == drifted(scene, here)
    differs = ("warning", "workflow digest", "its variables are not those of this shell: TOKEN")
    assert [gone, differs] == drifted(scene, here | {"TOKEN": "other"})
    register(scene, path, environment=None, python="/nowhere/python", directory="/nowhere")
    assert [
        ("broken", "workflow digest", "its working directory /nowhere is gone"),
        ("broken", "workflow digest", "its interpreter /nowhere/python is gone"),
    ] == drifted(scene, here)
    path.unlink()
    assert f"its file {path} is gone" == drifted(scene, here)[0][2]
    assert [] == drifted(scene, here, "other")


@pytest.mark.parametrize("open_to_others", ["file", "folder"])
def test_n20_code_that_another_user_may_change_is_warned_of(scene: Scene, tmp_path: Path, open_to_others: str) -> None:
    folder = tmp_path / "flows"
    folder.mkdir(mode=0o755)
    path = folder / "digest.py"
    path.write_text("")
    path.chmod(0o644)
    register(scene, path)
    assert [] == drifted(scene, {})
    changed = path if open_to_others == "file" else folder
    changed.chmod(changed.stat().st_mode | 0o020)
    text = f"another user may change {changed}, and so what runs as you"
    assert [("warning", "workflow digest", text)] == drifted(scene, {})


def test_a_schedule_whose_workflow_or_variables_are_gone_is_broken(scene: Scene) -> None:
    add_schedule(scene, env_file="/nowhere/.env")
    assert [
        ("broken", "schedule nightly", "its workflow digest is not registered"),
        ("broken", "schedule nightly", "its variables in /nowhere/.env are gone"),
    ] == drifted(scene, {}, "digest")


def test_the_variables_of_an_imported_schedule_are_those_of_cron_and_no_shell_s(scene: Scene, tmp_path: Path) -> None:
    with scene.store.transaction():
        variables = {"PATH": f"{tmp_path}:/nowhere", "SHELL": "/bin/sh"}
        captured = scene.store.environments.put(variables)
    imported = {"workflow": None, "directory": str(tmp_path), "environment": captured}
    add_schedule(scene, **imported, source="crontab")
    [gone] = drift(scene.store, "default", {"PATH": "/usr/bin", "SHELL": "/bin/bash"})
    assert ("schedule nightly", "its PATH names folders that are gone: /nowhere") == (gone.subject, gone.message)
    assert "edit its line in the crontab, then: flowctl crontab import --apply" == gone.hint
    add_schedule(scene, "own", **imported)
    assert "its variables are not those of this shell: PATH" in [text for *_, text in drifted(scene, {"PATH": "/bin"})]


def test_what_was_registered_without_a_path_has_that_of_the_daemon(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "digest.py"
    path.touch(0o644)
    tmp_path.chmod(0o755)
    with scene.store.transaction():
        captured = scene.store.environments.put({"PATH": "/opt/mine:/usr/bin"})
    register(scene, path, environment=captured)
    add_schedule(scene, workflow=None)
    monkeypatch.setenv("PATH", "/usr/bin")
    shell = {"PATH": "/opt/mine:/usr/bin"}
    text = "was registered without a PATH, and the daemon's is not that of this shell: it lacks /opt/mine"
    gone = ("warning", "workflow digest", "its PATH names folders that are gone: /opt/mine")
    with live_daemon(scene):
        assert [gone, ("warning", "schedule nightly", text)] == drifted(scene, shell)
        assert [("warning", "workflow digest", "its variables are not those of this shell: PATH")] == [
            each for each in drifted(scene, {"PATH": "/usr/bin"}) if each != gone
        ]
        register(scene, path, environment=None)
        assert [("warning", "workflow digest", text)] == drifted(scene, shell, "digest")
    assert [] == drifted(scene, shell)


def test_a_daemon_with_another_interpreter_than_this_program_is_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowctl.engine.daemon_lock.own_python", lambda: ["/old/bin/python"])
    with live_daemon(scene):
        text = f"runs code that names no interpreter with /old/bin/python, and this flowctl with {sys.executable}"
        assert [("warning", "daemon", text)] == drifted(scene, {"PATH": os.environ["PATH"]})
    assert [] == drifted(scene, {})


# -- the command


def test_the_exit_code_says_how_bad_it_is(flowctl: Any, tmp_path: Path) -> None:
    flowctl("doctor", code=4)
    flowctl("exec", "--", "true")
    said = flowctl("doctor", "--json").json
    assert {"check", "level", "subject", "message", "hint"} == set(said[0])
    path = Path(flowctl("db", "path").stdout.strip())
    stale = lock_path(path, "nobody")
    stale.parent.mkdir(exist_ok=True)
    stale.touch()
    assert "is the lock of an engine that is gone" in flowctl("doctor", code=1).stdout
    fixed = flowctl("doctor", "--fix")
    assert f"removed {stale}" in fixed.stderr
    assert "there is no workflow nothing" in flowctl("doctor", "nothing", code=4).stderr
    path.write_bytes(b"x" * 5_000)
    assert "not a flowctl database" in flowctl("doctor", code=2).stdout
