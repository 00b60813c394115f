"""Notifications: a word when something changes, none while it stays the same, delivered whatever fails meanwhile."""

from __future__ import annotations

import errno
import hmac
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import apsw
import pytest

from flowctl.core.notices import Channel
from flowctl.engine import notifier as module
from flowctl.engine.notifier import Notifier
from flowctl.store import Store
from tests.engine.living import add_schedule, add_slot
from tests.store.scene import Scene, error

DAY = 86_400_000
MINUTE = 60_000
HOSTILE = "\x1b[2J\u202e [bold]x\nBcc: all@example.org"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Store.open(tmp_path / "flow.db") as store:
        yield Scene(store)


@pytest.fixture
def notifier(scene: Scene) -> Iterator[Notifier]:
    found = Notifier(scene.store)
    yield found
    found.close()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be delivered: what matters is what is decided."""
    monkeypatch.setattr(module, "MOST", 0)


def channel(scene: Scene, name: str = "me", kind: Any = "command", **fields: Any) -> int:
    usual: dict[str, Any] = {"settings": {"command": "true"}, "workflow": None, "failures": 1}
    values = usual | fields
    with scene.store.transaction():
        return scene.store.notices.add_channel(Channel(0, "default", name, kind, created_at=0, **values), scene.now)


def end(scene: Scene, state: str = "failed", **fields: Any) -> int:
    claim = scene.held(**fields)
    scene.finish(claim, state)
    return claim.run_id


def told(scene: Scene, notifier: Notifier) -> list[tuple[str, str, int | None]]:
    """Let the notifier decide, and return subject, kind and run of every message so far."""
    scene.now += 1_000
    notifier.tick(scene.now)
    return scene.store.connection.rows("SELECT subject, kind, run_id FROM notices ORDER BY id")


# -- what is told


@pytest.mark.usefixtures("silent")
def test_the_first_failure_is_told_then_once_a_day_and_its_end(scene: Scene, notifier: Notifier) -> None:
    channel(scene)
    assert [] == told(scene, notifier)
    first = end(scene)
    expected = [("workflow digest", "failed", first)]
    assert expected == told(scene, notifier)
    end(scene)
    assert expected == told(scene, notifier)
    scene.now += DAY
    assert expected == told(scene, notifier)  # nothing has happened
    again = end(scene)
    expected.append(("workflow digest", "still_failing", again))
    assert expected == told(scene, notifier)
    end(scene)
    end(scene, "cancelled")
    assert expected == told(scene, notifier)
    well = end(scene, "succeeded")
    expected.append(("workflow digest", "recovered", well))
    assert expected == told(scene, notifier)
    end(scene, "succeeded")
    assert expected == told(scene, notifier)
    expected.append(("workflow digest", "failed", end(scene)))
    assert expected == told(scene, notifier)


@pytest.mark.usefixtures("silent")
def test_a_channel_may_wait_for_several_failures_in_a_row_and_be_about_one_workflow(
    scene: Scene, notifier: Notifier
) -> None:
    channel(scene, failures=3, workflow="digest")
    for state in ("failed", "failed", "succeeded", "failed", "failed"):
        end(scene, state)
        end(scene, workflow="other")
        assert [] == told(scene, notifier)
    third = end(scene)
    assert [("workflow digest", "failed", third)] == told(scene, notifier)


@pytest.mark.usefixtures("silent")
def test_a_failure_that_is_retried_is_told_when_no_attempt_is_left_and_children_are_their_parents_matter(
    scene: Scene, notifier: Notifier
) -> None:
    channel(scene)
    run = end(scene)
    with scene.store.transaction():
        scene.store.runs.retry(run, scene.now, replay="pinned")
    end(scene, root_id=run, parent_id=run, parent_step="child")
    assert [] == told(scene, notifier)
    scene.finish(scene.claim(run), "failed")
    assert [("workflow digest", "failed", run)] == told(scene, notifier)


@pytest.mark.usefixtures("silent")
def test_a_failure_handler_that_fails_is_told(scene: Scene, notifier: Notifier) -> None:
    channel(scene)
    run = end(scene, "succeeded")
    handler = end(scene, workflow="rescue", handles=run, root_id=run)
    assert [("workflow rescue", "failed", handler)] == told(scene, notifier)


@pytest.mark.usefixtures("silent")
def test_a_blocked_run_is_told_once_each_time_it_is_blocked(scene: Scene, notifier: Notifier) -> None:
    channel(scene, workflow="digest")
    claim = scene.held()
    child = scene.held(workflow="part", parent_id=claim[0], root_id=claim[0], parent_step="c")
    other = scene.held(workflow="other")
    for each in (child, other):
        scene.release(each, "blocked", reason="step 1 changed")
    blocked = ("run 2", "blocked", child.run_id)
    assert [blocked] == told(scene, notifier)
    assert [blocked] == told(scene, notifier)
    with scene.store.transaction():
        scene.store.runs.retry(child.run_id, scene.now, replay="pinned")
    assert [blocked] == told(scene, notifier)
    scene.release(scene.claim(child.run_id), "blocked", reason="step 1 changed")
    assert [blocked] * 2 == told(scene, notifier)


@pytest.mark.usefixtures("silent")
def test_missed_slots_are_told_together_and_each_once(scene: Scene, notifier: Notifier) -> None:
    channel(scene)
    schedule = add_schedule(scene, zone="Asia/Tokyo")
    for due_at, outcome in ((5, "missed"), (scene.now + 1, "missed"), (scene.now + 2, "missed")):
        add_slot(scene, schedule, due_at, outcome, "machine off")
    assert [("schedule nightly", "missed", None)] == told(scene, notifier)
    assert [("schedule nightly", "missed", None)] == told(scene, Notifier(scene.store))
    (text,) = scene.store.connection.rows("SELECT text FROM notices")[0]
    assert re.match(r"nightly missed 2 slots from \S+ \S+ JST to \S+ \S+ JST: machine off$", text)
    add_slot(scene, schedule, scene.now, "skipped", "overlap")
    add_slot(scene, schedule, scene.now + 1, "missed", "machine off")
    assert 2 == len(told(scene, notifier))


@pytest.mark.usefixtures("silent")
def test_a_slot_that_was_missed_after_the_clock_was_set_back_is_told(scene: Scene, notifier: Notifier) -> None:
    channel(scene)
    schedule = add_schedule(scene)
    scene.now += 60 * MINUTE
    assert [] == told(scene, notifier)
    scene.now -= 30 * MINUTE
    add_slot(scene, schedule, scene.now + 1_000, "missed", "machine off")  # the scheduler's `now` is the notifier's
    assert [("schedule nightly", "missed", None)] == told(scene, notifier)


@pytest.mark.usefixtures("silent")
def test_without_news_what_is_to_be_told_costs_the_same_with_many_schedules_and_slots(
    scene: Scene, notifier: Notifier
) -> None:
    channel(scene)
    add_slot(scene, add_schedule(scene), scene.now + 1, "missed", "machine off")
    assert 1 == len(told(scene, notifier))
    before = effort(scene, notifier)
    for number in range(50):
        schedule = add_schedule(scene, f"s{number}")
        for minute in range(20):
            add_slot(scene, schedule, scene.now + minute, "skipped", "overlap")
    assert before == effort(scene, notifier)


def effort(scene: Scene, notifier: Notifier) -> int:
    """Let the notifier look, and return how many instructions SQLite executed."""
    counts: list[int] = []
    raw = scene.store.connection.raw
    raw.trace_v2(
        apsw.SQLITE_TRACE_PROFILE, lambda event: counts.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"])
    )
    scene.now += 1_000
    notifier.tick(scene.now)
    raw.trace_v2(0, None)
    return sum(counts)


@pytest.mark.usefixtures("silent")
def test_what_failed_before_there_was_a_channel_is_not_told_and_what_failed_while_no_daemon_ran_is(
    scene: Scene, notifier: Notifier
) -> None:
    end(scene)
    channel(scene)
    assert [] == told(scene, notifier)
    run = end(scene)
    assert [("workflow digest", "failed", run)] == told(scene, Notifier(scene.store))
    assert [("workflow digest", "failed", run)] == told(scene, Notifier(scene.store))
    end(scene, "succeeded")
    assert 2 == len(told(scene, Notifier(scene.store)))


@pytest.mark.usefixtures("silent")
def test_each_channel_is_told_for_itself(scene: Scene, notifier: Notifier) -> None:
    channel(scene, "one")
    end(scene)
    assert 1 == len(told(scene, notifier))
    channel(scene, "two")
    end(scene)
    assert 2 == len(told(scene, notifier))
    scene.store.connection.rows("PRAGMA foreign_keys")
    with scene.store.transaction():
        assert scene.store.notices.remove_channel("default", "one")
    assert 1 == len(told(scene, notifier))


# -- how it is delivered


def settled(scene: Scene, notifier: Notifier) -> list[tuple[Any, ...]]:
    """Let the notifier work until nothing is due; return tries, error, and whether each message was sent."""
    scene.now += 1_000
    for _ in range(2_000):
        if (at := notifier.tick(scene.now)) is None or at > scene.now + 2_000:
            break
        scene.now = max(scene.now, at) if at <= scene.now else scene.now + 20
        time.sleep(0.02)
    return scene.store.connection.rows("SELECT tries, error, sent_at IS NOT NULL FROM notices ORDER BY id")


def test_a_command_gets_the_message_on_stdin_and_in_its_environment_but_not_as_words(
    scene: Scene, notifier: Notifier, tmp_path: Path
) -> None:
    script = 'cat > "$OUT"; env | grep ^FLOWCTL_NOTICE_ >> "$OUT"; tr "\\0" " " < /proc/$$/cmdline >> "$OUT"'
    channel(scene, settings={"command": f"OUT={tmp_path}/out; {script}"})
    claim = scene.held()
    scene.finish(claim, "failed", error=error(HOSTILE))
    assert [(1, None, 1)] == settled(scene, notifier)
    line, *rest = (tmp_path / "out").read_text().splitlines()
    message = json.loads(line)
    assert ("failed", "workflow digest", claim.run_id) == (message["kind"], message["subject"], message["run"])
    assert "ValueError: \\x1b[2J\\u202e [bold]x Bcc: all@example.org" in message["text"]
    assert f"FLOWCTL_NOTICE_RUN={claim.run_id}" in rest
    assert "ValueError" not in rest[-1]


@contextmanager
def receiver(*codes: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Answer requests with these codes, the last one for all that follow."""
    got: list[tuple[dict[str, str], bytes]] = []
    answers = list(codes)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_is_signed_and_tried_again_until_it_answers_well(
    scene: Scene, notifier: Notifier, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    secret.chmod(0o600)
    with receiver(500, 302, 204) as (url, got):
        channel(scene, kind="webhook", settings={"url": url, "secret_file": str(secret)})
        end(scene)
        assert [(1, "the webhook answered 500", 0)] == settled(scene, notifier)
        assert 1 == len(got)
        scene.now += MINUTE
        assert [(2, "the webhook answered 302", 0)] == settled(scene, notifier)
        scene.now += MINUTE
        assert [(2, "the webhook answered 302", 0)] == settled(scene, notifier)  # the second pause is longer
        scene.now += MINUTE
        assert [(3, None, 1)] == settled(scene, notifier)
    headers, body = got[-1]
    assert 3 == len(got)
    expected = hmac.new(b"hush", f"{headers['Flowctl-Timestamp']}.".encode() + body, "sha256").hexdigest()
    assert f"v1={expected}" == headers["Flowctl-Signature"]
    assert abs(int(headers["Flowctl-Timestamp"]) - scene.now // 1000) < 100
    assert "application/json" == headers["Content-Type"]
    assert "failed" == json.loads(body)["kind"]


def test_a_secret_that_others_may_read_is_not_used_and_none_is_in_the_database(
    scene: Scene, notifier: Notifier, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush-hush")
    secret.chmod(0o640)
    with receiver(204) as (url, got):
        channel(scene, kind="webhook", settings={"url": url, "secret_file": str(secret)})
        end(scene)
        ((tries, why, sent),) = settled(scene, notifier)
    assert (1, 0, []) == (tries, sent, got)
    assert "others may read the secret in" in why
    scene.store.connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"hush-hush" not in Path(scene.store.path).read_bytes()


def test_a_message_that_cannot_be_delivered_is_given_up_after_a_day_and_later_ones_wait_for_it(
    scene: Scene, notifier: Notifier
) -> None:
    channel(scene, settings={"command": "echo no luck >&2; exit 3"})
    end(scene)
    tries = 0
    while (rows := settled(scene, notifier)) and tries < rows[0][0]:
        tries = rows[0][0]
        if tries == 1:
            end(scene, "succeeded")
        scene.now = (scene.store.notices.next_due_at() or scene.now) if tries > 1 else scene.now + MINUTE
        if tries == 4:  # quicker than to live through the day
            scene.now += DAY
    first, second = scene.store.connection.rows("SELECT tries, next_at, error FROM notices ORDER BY id")
    assert "the command ended with exit code 3: no luck" == first[2]
    assert first[1] is None
    assert second[1] is not None or second[0] > 0


def test_a_delivery_that_hangs_stops_nothing_and_a_daemon_that_ends_makes_it_again(
    scene: Scene, notifier: Notifier, tmp_path: Path
) -> None:
    channel(scene, "slow", settings={"command": f"echo x >> {tmp_path}/begun; sleep 300"})
    channel(scene, "quick", settings={"command": f"touch {tmp_path}/quick"})
    end(scene)
    began = time.monotonic()
    while not ((tmp_path / "quick").exists() and (tmp_path / "begun").exists()):
        scene.now += 1_000 if time.monotonic() - began < 0.1 else 10
        turn = time.monotonic()
        notifier.tick(scene.now)
        assert time.monotonic() - turn < 20
        time.sleep(0.02)
        assert time.monotonic() - began < 90
    notifier.close()
    again = Notifier(scene.store)
    while len((tmp_path / "begun").read_text().splitlines()) < 2:
        again.tick(scene.now)
        time.sleep(0.02)
        assert time.monotonic() - began < 90
    scene.now += module.LONGEST_MS + 1
    again.tick(scene.now)
    slow = scene.store.connection.rows("SELECT tries, sent_at FROM notices WHERE channel_id = 1")
    assert [(1, None)] == slow
    again.close()


def test_a_delivery_that_cannot_be_started_is_tried_again_later(
    scene: Scene, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    channel(scene)
    end(scene)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        why = "the delivery cannot be started: Resource temporarily unavailable"
        assert [(1, why, 0)] == settled(scene, notifier)
    scene.now += MINUTE
    assert [(2, None, 1)] == settled(scene, notifier)


def test_a_channel_that_is_removed_while_its_message_is_taken_up_ends_nothing(
    scene: Scene, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel(scene)
    end(scene)
    due = scene.store.notices.due

    def removed_after(now: int) -> Any:
        found = due(now)
        with scene.store.transaction():
            scene.store.notices.remove_channel("default", "me")
        return found

    monkeypatch.setattr(scene.store.notices, "due", removed_after)
    assert [] == settled(scene, notifier)


def test_mail_goes_by_smtp_and_no_header_can_be_smuggled_in(scene: Scene, notifier: Notifier) -> None:
    with mailbox() as (port, lines):
        channel(
            scene, kind="mail", settings={"to": "me@example.org", "from": "f@example.org", "smtp": f"127.0.0.1:{port}"}
        )
        claim = scene.held(workflow=HOSTILE)
        scene.finish(claim, "failed", error=error(HOSTILE))
        assert [(1, None, 1)] == settled(scene, notifier)
    text = "\n".join(lines)
    assert ["rcpt TO:<me@example.org>"] == [line for line in lines if line.lower().startswith("rcpt")]
    assert "To: me@example.org" in lines
    assert not any(line.startswith("Bcc:") for line in lines)
    assert f"flowctl show {claim.run_id}" in text
    assert "\x1b" not in text


@contextmanager
def mailbox() -> Iterator[tuple[int, list[str]]]:
    """Take one mail as a server would, and keep every line that was said to it."""
    lines: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw", newline="\r\n", encoding="utf-8") as talk:
            in_data = False
            answer(talk, "220 here")
            for line in talk:
                lines.append(line.rstrip("\r\n"))
                if in_data:
                    in_data = lines[-1] != "."
                    if in_data:
                        continue
                    answer(talk, "250 taken")
                elif lines[-1].upper() == "DATA":
                    in_data = True
                    answer(talk, "354 go on")
                elif lines[-1].upper() == "QUIT":
                    answer(talk, "221 bye")
                    return
                else:
                    answer(talk, "250 fine")

    def answer(talk: Any, text: str) -> None:
        talk.write(f"{text}\n")
        talk.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], lines
        thread.join(60)
    finally:
        listener.close()


def test_a_desktop_is_shown_no_text_of_the_run_among_the_words_of_a_program(
    scene: Scene, notifier: Notifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "notify-send"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/shown\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    channel(scene, kind="desktop", settings={})
    claim = scene.held()
    scene.finish(claim, "failed", error=error("the password is swordfish"))
    assert [(1, None, 1)] == settled(scene, notifier)
    words = (tmp_path / "shown").read_text().splitlines()
    assert ["--app-name=flowctl", "--", "flowctl: workflow digest: failed", f"flowctl show {claim.run_id}"] == words


# -- the commands


def test_channels_are_made_listed_tried_and_removed(flowctl: Any, tmp_path: Path) -> None:
    assert [] == flowctl("notify", "list", "--json").json
    flowctl("notify", "add", "log", "--command", f"cat >> {tmp_path}/log", "--workflow", "talk", "--after", "2")
    (shape,) = flowctl("notify", "list", "--json").json
    assert ("log", "command", "talk", 2, 0) == tuple(
        shape[key] for key in ("channel", "kind", "workflow", "after", "waiting")
    )
    assert "delivered by command" in flowctl("notify", "test", "log").stderr
    assert "test" == json.loads((tmp_path / "log").read_text())["kind"]
    flowctl("notify", "add", "log", "--desktop", code=5)
    flowctl("notify", "add", "bad", "--command", "exit 3")
    assert "the command ended with exit code 3" in flowctl("notify", "test", "bad", code=1).stderr
    assert "did you mean log?" in flowctl("notify", "remove", "lag", code=4).stderr
    flowctl("notify", "remove", "log")
    assert ["bad"] == [each["channel"] for each in flowctl("notify", "list", "--json").json]
    assert flowctl("db", "check", "--json").json["ok"]


def test_the_daemon_tells_of_a_run_that_fails(flowctl: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    flowctl("notify", "add", "log", "--command", f"cat >> {log}")
    flowctl("daemon", "start")
    try:
        flowctl("exec", "--detach", "--", "false")
        until = time.monotonic() + 60
        while not log.exists() or flowctl("notify", "list", "--json").json[0]["waiting"]:
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        flowctl("daemon", "stop", "--now")
    assert ("failed", 1) == tuple(json.loads(log.read_text())[key] for key in ("kind", "run"))
    assert 0 == flowctl("notify", "list", "--json").json[0]["waiting"]


@pytest.mark.parametrize(
    "words",
    [
        ("x",),
        ("x", "--desktop", "--command", "true"),
        ("x", "--desktop", "--smtp", "h:25"),
        ("x", "--webhook", "file:///etc/passwd"),
        ("x", "--webhook", "http://user:word@example.org/"),
        ("x", "--webhook", "https://example.org", "--secret-env", "A", "--secret-file", "b"),
        ("x", "--mail", "nobody"),
        ("x", "--mail", "me@example.org\nBcc: all@example.org"),
        ("x", "--mail", "me@example.org", "--smtp", "localhost:25"),
        ("x", "--mail", "me@example.org", "--smtp", "localhost", "--from", "me@example.org"),
        ("../x", "--desktop"),
    ],
)
def test_a_channel_that_cannot_work_is_refused(flowctl: Any, words: tuple[str, ...]) -> None:
    flowctl("notify", "add", *words, code=2)
    assert [] == flowctl("notify", "list", "--json").json


def test_a_secret_file_that_others_may_read_is_refused(flowctl: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush")
    secret.chmod(0o644)
    said = flowctl("notify", "add", "x", "--webhook", "https://example.org", "--secret-file", secret, code=77)
    assert "others may read the secret" in said.stderr
    secret.chmod(0o600)
    flowctl("notify", "add", "x", "--webhook", "https://example.org", "--secret-file", secret)
