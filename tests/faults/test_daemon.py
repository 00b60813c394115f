"""The daemon as a process: one a file, started and stopped, killed, stopped by the machine, and rung at."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowctl.core.config import config_path, default_database
from flowctl.engine.daemon_lock import DaemonLock, lock_file, running_daemon
from flowctl.engine.doorbell import KNOCK, ring
from flowctl.engine.journal import journal_path
from flowctl.store import Store
from flowctl.store.connection import WAIT_S
from tests.conftest import FLOWCTL, Outcome
from tests.faults.conftest import Bench, alive, dead
from tests.faults.seen import pending

SOURCE = """
@step
def work(seconds: float, name: str) -> str:
    note(f"{name} {os.getpid()}")
    time.sleep(seconds)
    return name

@workflow
def short(name: str = "short") -> str:
    return work(0.4, name)

@workflow
def long(name: str = "long") -> str:
    return work(300, name)

@workflow
def held(name: str = "held") -> str:
    note(f"{name} {os.getpid()}")
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return work(0, f"{name}-done")

@workflow
def naps() -> str:
    sleep("5s")  # long enough to be seen asleep on a slow machine
    return work(0, "woken")
"""


@pytest.fixture(autouse=True)
def ended(tmp_path: Path) -> Iterator[None]:
    """Leave no daemon behind."""
    yield
    facts = running_daemon(default_database(os.environ))
    if facts is not None:
        os.kill(facts.pid, signal.SIGCONT)
        subprocess.run([*FLOWCTL, "daemon", "stop", "--now"], capture_output=True, timeout=60, check=False)


@pytest.fixture
def flows(bench: Bench) -> Path:
    return bench.write("flows.py", SOURCE)


@pytest.fixture
def start(bench: Bench) -> Callable[..., int]:
    """Start the daemon, and return its number."""

    def start(*words: str, **env: str) -> int:
        return int(bench.flowctl("daemon", "start", *words, "--json", **env).json["pid"])

    return start


def submit(bench: Bench, target: str, *words: str) -> int:
    return int(bench.flowctl("run", target, *words, "--detach").stdout)


# -- one daemon ----------------------------------------------------------------------------------------------------


def test_a_queued_run_is_worked_on_in_the_background(bench: Bench, flows: Path, start: Callable[..., int]) -> None:
    pid = start()
    number = submit(bench, f"{flows}:short")
    assert '"short"' == bench.in_state("succeeded", number).output
    status = bench.flowctl("daemon", "status", "--json").json
    assert ("running", pid, 0, 0) == (status["state"], status["pid"], status["running"], status["due"])
    assert f"the daemon (pid {pid}) has stopped\n" == bench.flowctl("daemon", "stop").stdout
    bench.wait_for(lambda: not alive(pid))  # its lock is free a moment before
    assert None is bench.flowctl("daemon", "status", "--json", code=3).json["pid"]
    bench.flowctl("daemon", "stop", code=3)


def test_a08_a_second_daemon_is_refused_with_the_number_of_the_first(bench: Bench, start: Callable[..., int]) -> None:
    pid = start()
    for words in (("daemon", "start"), ("daemon", "run")):
        refused = bench.flowctl(*words, code=3)
        assert f"the daemon is running already (pid {pid})" in refused.stderr
    assert bench.flowctl("daemon", "restart", "--json").json["pid"] != pid
    bench.wait_for(lambda: not alive(pid))


def test_a_daemon_that_is_restarted_does_what_it_did_before(bench: Bench, start: Callable[..., int]) -> None:
    start("--label", "gpu", "--queue", "mail", "--concurrency", "3")
    bench.flowctl("daemon", "restart")
    (engine,) = bench.flowctl("daemon", "status", "--json").json["engines"]
    assert (["gpu"], ["mail"]) == (engine["labels"], engine["queues"])
    facts = running_daemon(default_database(os.environ))
    assert facts is not None
    assert ("--queue", "mail", "--label", "gpu", "--concurrency", "3") == facts.words


def test_a08_who_asks_all_the_time_whether_a_daemon_runs_keeps_none_from_starting(bench: Bench) -> None:
    bench.flowctl("exec", "-d", "--", "true")
    database = default_database(os.environ)
    with DaemonLock(database, 1):
        assert lock_file(database).read_bytes()
    assert b"" == lock_file(database).read_bytes()  # or the next one might be taken for it
    asking = threading.Event()

    def ask() -> None:
        while not asking.is_set():
            running_daemon(database)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(300):
            with DaemonLock(database, 1):
                pass
    finally:
        asking.set()
        thread.join()


def test_a_service_is_not_installed_beside_a_daemon_that_is_none(
    bench: Bench, start: Callable[..., int], tmp_path: Path
) -> None:
    pid = start()
    refused = bench.flowctl("daemon", "install", PATH=str(tmp_path), code=5)
    assert f"a daemon runs that is no service (pid {pid})" in refused.stderr


def test_a08_of_twenty_daemons_started_at_once_one_wins(bench: Bench) -> None:
    starting = [bench.spawn("daemon", "start", "--json") for _ in range(20)]
    said = [(process.communicate(timeout=90), process.returncode) for process in starting]
    assert {0: 1, 3: 19} == Counter(code for _, code in said)
    (won,) = [json.loads(out) for (out, _), code in said if code == 0]
    facts = running_daemon(default_database(os.environ))
    assert facts is not None
    assert facts.pid == won["pid"]


def test_j23_a_database_that_is_named_by_a_link_is_refused_by_every_verb(
    bench: Bench, start: Callable[..., int], tmp_path: Path
) -> None:
    pid = start()
    link = tmp_path / "link.db"
    link.symlink_to(default_database(os.environ))
    for verb in ("start", "stop", "restart", "status"):
        refused = bench.flowctl("--db", str(link), "daemon", verb, code=77).stderr
        assert f"{link} is a symbolic link" in refused
        assert f"--db {default_database(os.environ)}" in refused
    assert alive(pid)


def test_a15_a_client_that_is_killed_takes_nothing_from_the_run_it_looks_at(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    start()
    number = submit(bench, f"{flows}:held")
    bench.in_state("running", number)
    clients = [bench.spawn("wait", str(number)), bench.spawn("logs", str(number), "-f")]
    time.sleep(0.05)
    for client in clients:
        client.kill()
        client.communicate()
    (flows.parent / "go").touch()
    done = bench.in_state("succeeded", number)
    assert ('"held-done"', 1) == (done.output, done.attempt)


def test_a07_a_lock_file_that_names_an_unrelated_process_is_not_believed(
    bench: Bench, start: Callable[..., int]
) -> None:
    start()
    bench.flowctl("daemon", "stop")
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        facts = {"pid": bystander.pid, "started_at": 1, "version": "0"}
        lock_file(default_database(os.environ)).write_text(json.dumps(facts))
        bench.flowctl("daemon", "stop", "--now", code=3)
        pid = start()
        bench.flowctl("daemon", "stop", "--now")
        assert bystander.poll() is None
        assert pid != bystander.pid
    finally:
        bystander.kill()
        bystander.wait()


def test_a17_the_daemon_outlives_the_terminal_it_was_started_in(bench: Bench, flows: Path) -> None:
    shell, terminal = pty.fork()
    if shell == 0:
        os.execv(FLOWCTL[0], [*FLOWCTL, "daemon", "start"])
    said = b""
    while b"the daemon is running" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)  # hangs up
    os.waitpid(shell, 0)
    assert '"short"' == bench.in_state("succeeded", submit(bench, f"{flows}:short")).output


def test_n01_what_the_daemon_makes_is_private(bench: Bench, start: Callable[..., int]) -> None:
    start()
    database = default_database(os.environ)
    folder = lock_file(database).parent
    made = {path.name.rpartition(".")[2]: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {"lock": 0o600, "sock": 0o600} == made
    assert 0o700 == folder.stat().st_mode & 0o777
    assert 0o600 == journal_path(database).stat().st_mode & 0o777


def test_a_daemon_that_cannot_start_says_why(bench: Bench) -> None:
    config = config_path(os.environ)
    config.parent.mkdir(parents=True)
    config.write_text("payload_limit = 'much'\n")
    refused = bench.flowctl("daemon", "start", code=2)
    assert "payload_limit is a number of bytes" in refused.stderr
    config.unlink()


# -- stopping ------------------------------------------------------------------------------------------------------


def test_a13_a_daemon_that_is_stopped_lets_short_steps_finish_and_puts_the_rest_back(
    bench: Bench, flows: Path, start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = start()
    short, long = submit(bench, f"{flows}:short"), submit(bench, f"{flows}:long")
    bench.wait_for(lambda: len(bench.ledger()) == 2)
    os.kill(pid, signal.SIGTERM)
    after = submit(bench, f"{flows}:short", "name=late")
    bench.wait_for(lambda: not alive(pid))

    assert "succeeded" == bench.shown(short)["state"]
    stopped = bench.shown(long)
    assert ("queued", 1) == (stopped["state"], stopped["attempt"])
    assert ["interrupted"] == [attempt["state"] for attempt in stopped["by_key"]["work"]["attempts"]]
    assert "queued" == bench.shown(after)["state"]
    pids = [int(line.split()[1]) for line in bench.ledger()]
    assert all(map(dead, pids))

    start()
    assert '"late"' == bench.in_state("succeeded", after).output
    bench.wait_for(lambda: sum(line.startswith("long ") for line in bench.ledger()) == 2)


def test_a13_g12_a_second_signal_stops_it_at_once(bench: Bench, flows: Path, start: Callable[..., int]) -> None:
    start()
    number = submit(bench, f"{flows}:long")
    (pid,) = bench.noted("long")
    bench.flowctl("daemon", "stop", "--now")  # which kills a daemon that takes its grace: nothing is put back then
    assert ("queued", True) == (bench.shown(number)["state"], dead(pid))


def test_a13_g12_both_signals_are_heard_although_they_come_in_the_same_moment(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    pid = start()
    number = submit(bench, f"{flows}:long")
    bench.noted("long")
    bench.freeze(pid)
    stopping = bench.spawn("daemon", "stop", "--now")
    bench.wait_for(lambda: pending(pid, signal.SIGINT))
    os.kill(pid, signal.SIGCONT)
    stopping.communicate(timeout=60)
    assert (0, "queued") == (stopping.returncode, bench.shown(number)["state"])


def test_a_daemon_that_hangs_is_ended_all_the_same(bench: Bench, flows: Path, start: Callable[..., int]) -> None:
    pid = start()
    os.kill(pid, signal.SIGSTOP)
    bench.flowctl("daemon", "stop", "--now")
    bench.wait_for(lambda: not alive(pid))


# -- dying ---------------------------------------------------------------------------------------------------------


def test_a02_twenty_runs_of_a_killed_daemon_go_on_in_the_next(
    bench: Bench, flows: Path, start: Callable[..., int], tmp_path: Path
) -> None:
    pid = start("--concurrency", "20")
    for count in range(20):
        submit(bench, f"{flows}:held", f"name=run{count}")
    bench.wait_for(lambda: len(bench.ledger()) == 20, timeout=60)
    os.kill(pid, signal.SIGKILL)
    bench.wait_for(lambda: not alive(pid))
    start("--concurrency", "20")

    def running() -> bool:
        with bench.store() as store:
            engines = [engine.id for engine in store.engines.running()]  # the dead one's as well, at first
            return len(engines) == 1 and len(store.runs.orphans(engines)) == 20

    bench.wait_for(running)
    (tmp_path / "go").touch()
    bench.wait_for(lambda: sum("-done" in line for line in bench.ledger()) == 20, timeout=60)
    for number in range(1, 21):
        bench.in_state("succeeded", number)
    assert {1} == set(Counter(line.split()[0] for line in bench.ledger() if "-done" in line).values())


def test_a05_what_a_killed_daemon_ran_is_dead_before_it_runs_again(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    pid = start()
    number = submit(bench, f"{flows}:long")
    (first,) = bench.noted("long")
    os.kill(pid, signal.SIGKILL)
    start()
    second = bench.noted("long", 2)[1]
    assert (True, True) == (dead(first), alive(second))
    attempts = bench.shown(number)["by_key"]["work"]["attempts"]
    assert ["interrupted", "running"] == [attempt["state"] for attempt in attempts]


def test_a09_after_a_reboot_the_runs_of_a_daemon_go_on_at_once(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    pid = start(FLOWCTL_TESTING="1", FLOWCTL_BOOT_ID="before")
    number = submit(bench, f"{flows}:naps")
    bench.in_state("sleeping", number)
    os.kill(pid, signal.SIGKILL)
    bench.wait_for(lambda: not alive(pid))
    start(FLOWCTL_TESTING="1", FLOWCTL_BOOT_ID="after")
    assert '"woken"' == bench.in_state("succeeded", number).output


def test_d01_a_sleep_survives_restarts_and_never_ends_early(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    start()
    number = submit(bench, f"{flows}:naps")
    asleep = bench.in_state("sleeping", number)
    for _ in range(2):
        bench.flowctl("daemon", "stop")
        start()
    woken = bench.in_state("succeeded", number)
    assert asleep.wake_at is not None
    late = next(step["started_at"] for step in bench.shown(number)["steps"] if step["key"] == "work")
    assert late >= bench.shown(number)["by_key"]["sleep"]["finished_at"]
    assert woken.finished_at is not None
    assert woken.finished_at >= asleep.wake_at
    assert 1 == len([line for line in bench.ledger() if line.startswith("woken ")])


# -- the file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "-wal"], ids=["j08", "j09"])
def test_j08_j09_a_daemon_whose_file_is_gone_stops(
    flowctl: Callable[..., object],
    spawn: Callable[..., subprocess.Popen[str]],
    wait_for: Callable[..., object],
    suffix: str,
) -> None:
    flowctl("exec", "-d", "--", "true")
    process = spawn("daemon", "run")
    wait_for(lambda: running_daemon(default_database(os.environ)))
    os.unlink(f"{default_database(os.environ)}{suffix}")
    _, err = process.communicate(timeout=60)
    assert 70 == process.returncode
    assert "was moved or deleted while it was open" in err
    if not suffix:
        assert not default_database(os.environ).exists()


def test_j04_a_daemon_waits_and_a_command_gives_up_while_another_process_holds_the_lock(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    pid = start()
    number = submit(bench, f"{flows}:short")
    bench.in_state("succeeded", number)
    running = submit(bench, f"{flows}:short", "name=meanwhile")
    bench.noted("meanwhile")
    with Store.open(default_database(os.environ)) as store, store.transaction():
        store.events.note("machine", "held", 1)
        refused = bench.flowctl("run", f"{flows}:short", "--detach", code=3)  # after BUSY_TIMEOUT_MS
        assert "is locked by another process" in refused.stderr
        time.sleep(1.0)  # longer than the daemon waits for the lock, too
    assert alive(pid)
    assert '"meanwhile"' == bench.in_state("succeeded", running).output
    assert 1 == len([line for line in bench.ledger() if line.startswith("meanwhile ")])
    assert '"again"' == bench.in_state("succeeded", submit(bench, f"{flows}:short", "name=again")).output


# -- commands and the daemon ---------------------------------------------------------------------------------------


def test_m07_commands_do_not_wait_for_a_daemon_that_hangs(bench: Bench, flows: Path, start: Callable[..., int]) -> None:
    pid = start()
    bench.freeze(pid)
    began = time.monotonic()
    bench.flowctl("daemon", "status")
    submit(bench, f"{flows}:short")
    bench.flowctl("ls")
    assert 40 > time.monotonic() - began
    os.kill(pid, signal.SIGCONT)
    bench.in_state("succeeded", 1)


def test_a_change_that_nobody_rang_for_is_found_by_polling(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    start()
    for bell in lock_file(default_database(os.environ)).parent.glob("*.sock"):
        bell.unlink()
    assert '"short"' == bench.in_state("succeeded", submit(bench, f"{flows}:short")).output


def test_a_database_with_a_long_path_has_a_doorbell_too(
    flowctl: Callable[..., Outcome], write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    flows = write("flows.py", SOURCE)
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    database = str(deep / "flow.db")
    flowctl("daemon", "start", FLOWCTL_DB=database)
    try:
        assert 1 == len(list(lock_file(database).parent.glob("*.sock")))
        number = flowctl("run", f"{flows}:short", "-d", FLOWCTL_DB=database).stdout.strip()
        assert 0 == flowctl("wait", number, "--timeout", "60s", FLOWCTL_DB=database).code
    finally:
        flowctl("daemon", "stop", FLOWCTL_DB=database)
    assert [] == list(lock_file(database).parent.glob("*.sock"))


def test_a_foreground_run_is_left_to_the_person_who_watches_it(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    start()
    for count in range(5):
        assert f'"n{count}"\n' == bench.flowctl("run", f"{flows}:short", f"name=n{count}").stdout
    process = bench.spawn("run", f"{flows}:held")
    bench.noted("held")
    process.kill()
    process.wait()
    (Path(flows).parent / "go").touch()
    assert '"held-done"' == bench.in_state("succeeded", 6).output  # its terminal is gone: the daemon goes on with it


def test_f10_fifty_submits_are_accepted_while_the_daemon_records_at_full_speed(
    bench: Bench, start: Callable[..., int]
) -> None:
    busy = bench.write(
        "busy.py",
        """
        @step
        def one(n: int) -> int:
            return n

        @workflow
        def busy() -> None:
            for n in range(1_000_000):
                one(n)
        """,
    )
    start("--queue", "busy")
    running = submit(bench, str(busy), "--queue", "busy")
    bench.in_state("running", running)
    submitting = [bench.spawn("exec", "-d", "--queue", "later", "--", "true") for _ in range(50)]
    said = [(process.communicate(timeout=90)[1], process.returncode) for process in submitting]
    assert [("", 0)] * 50 == said
    with bench.store() as store:
        assert 50 == store.runs.counts("default")["queued"]
    waits = sorted(waited_for_the_lock() for _ in range(50))
    assert waits[len(waits) * 95 // 100] < 1  # of the five seconds after which a command gives up
    bench.flowctl("cancel", running)


def waited_for_the_lock() -> float:
    """Write as a command does, and return how many seconds it slept meanwhile because somebody else wrote."""
    with Store.open(default_database(os.environ)) as store:
        tries = [0]
        store.connection.knock = lambda: ring(store.path, KNOCK)

        def counted(number: int) -> bool:
            tries[0] += 1
            return store.connection._wait(number)

        store.connection.raw.set_busy_handler(counted)
        with store.transaction():
            store.events.note("machine", "noted", 1)
    return tries[0] * WAIT_S


# -- service managers, configuration -------------------------------------------------------------------------------


def test_a_service_manager_is_told_when_it_is_ready_alive_and_stopping(bench: Bench, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(60)
        process = bench.spawn("daemon", "run", NOTIFY_SOCKET=str(address), WATCHDOG_USEC="400000")
        assert f"READY=1\nMAINPID={process.pid}" == manager.recv(4096).decode()
        assert ["WATCHDOG=1"] * 2 == [manager.recv(4096).decode() for _ in range(2)]
        process.send_signal(signal.SIGHUP)
        while not (word := manager.recv(4096).decode()).startswith("RELOADING=1"):
            assert "WATCHDOG=1" == word
        process.send_signal(signal.SIGTERM)
        words = []
        while "STOPPING=1" not in words:
            words.append(manager.recv(4096).decode())
    assert {"READY=1", "WATCHDOG=1", "STOPPING=1"} >= set(words)
    _, err = process.communicate(timeout=60)
    assert 0 == process.returncode
    assert "configuration read again" in err


def test_a_configuration_that_is_wrong_is_not_taken_over(bench: Bench) -> None:
    process = bench.spawn("daemon", "run")
    bench.wait_for(lambda: running_daemon(default_database(os.environ)))
    config = config_path(os.environ)
    config.parent.mkdir(parents=True)
    config.write_text("payload_limt = 5\n")
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any("the configuration stays as it was" in line and "payload_limit?" not in line for line in lines)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert 0 == process.returncode
    config.unlink()


def write_tools(folder: Path, script: str) -> str:
    """Put a systemctl and a loginctl before those of the machine; return the PATH that finds them."""
    folder.mkdir()
    for name in ("systemctl", "loginctl"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_the_service_is_removed_even_when_systemd_cannot_be_told(
    flowctl: Callable[..., Outcome], tmp_path: Path
) -> None:
    flowctl("daemon", "install", PATH=write_tools(tmp_path / "tools", "true"))
    unit = Path(os.environ["XDG_CONFIG_HOME"]) / "systemd/user/flowctl.service"
    link = unit.parent / "default.target.wants/flowctl.service"
    link.parent.mkdir()
    link.symlink_to(unit)
    refusing = write_tools(tmp_path / "refusing", 'echo "no bus" >&2; exit 1')
    said = flowctl("daemon", "uninstall", PATH=refusing, code=1).stderr
    assert f"systemctl refused: no bus; {unit} is removed, but its daemon may still run" in said
    assert "flowctl daemon stop" in said
    assert (False, False) == (unit.exists(), link.is_symlink())


@pytest.mark.parametrize(("answer", "said"), [("yes", "it goes on when you log out"), ("", "it may end when you")])
def test_install_says_whether_it_goes_on_without_a_login(
    flowctl: Callable[..., Outcome], tmp_path: Path, answer: str, said: str
) -> None:
    assert said in flowctl("daemon", "install", PATH=write_tools(tmp_path / "tools", f"echo {answer}")).stderr


def test_the_service_reads_the_configuration_of_the_person_who_installs_it(flowctl: Callable[..., Outcome]) -> None:
    folder = '/my "own" 5%/$config'
    printed = flowctl("daemon", "install", "--print", XDG_CONFIG_HOME=folder).stdout
    assert 'Environment="XDG_CONFIG_HOME=/my \\"own\\" 5%%/$config"' in printed.splitlines()
    assert "Environment" not in flowctl("daemon", "install", "--print", XDG_CONFIG_HOME="").stdout


def test_the_log_of_a_service_is_found_where_systemd_keeps_it(flowctl: Callable[..., Outcome], tmp_path: Path) -> None:
    assert "flowctl daemon start writes one" in flowctl("daemon", "logs", code=4).stderr
    flowctl("daemon", "install", PATH=write_tools(tmp_path / "tools", "true"))
    assert "journalctl --user -u flowctl\n" in flowctl("daemon", "logs", code=4).stderr


def test_the_service_file_is_printed_and_installed(flowctl: Callable[..., Outcome], tmp_path: Path) -> None:
    printed = flowctl("daemon", "install", "--print").stdout
    assert f"--db {default_database(os.environ)} daemon run\n" in printed
    assert "Type=notify\n" in printed
    path = write_tools(tmp_path / "tools", f'echo "${{0##*/}} $*" >> {tmp_path}/called; echo no')
    installed = flowctl("daemon", "install", PATH=path)
    unit = Path(os.environ["XDG_CONFIG_HOME"]) / "systemd/user/flowctl.service"
    assert printed == unit.read_text()
    assert "loginctl enable-linger" in installed.stderr
    flowctl("daemon", "uninstall", PATH=path)
    assert not unit.exists()
    called = [line for line in (tmp_path / "called").read_text().splitlines() if line.startswith("systemctl")]
    assert [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now flowctl.service",
        "systemctl --user disable --now flowctl.service",
    ] == called
    assert "is not installed" in flowctl("daemon", "uninstall", PATH=path, code=4).stderr


def test_the_log_is_printed_and_followed(bench: Bench, flows: Path, start: Callable[..., int]) -> None:
    assert "flowctl daemon start" in bench.flowctl("daemon", "logs", code=4).stderr
    pid = start()
    following = bench.spawn("daemon", "logs", "-f", "--json")
    bench.in_state("succeeded", submit(bench, f"{flows}:short"))
    assert following.stdout is not None
    texts = []
    while not any("run 1 short succeeded" in text for text in texts):
        texts.append(json.loads(following.stdout.readline())["text"])
    assert texts[0].startswith(f"started: daemon, pid {pid}")
    following.kill()
    assert 1 == len(bench.flowctl("daemon", "logs", "-n", "1").stdout.splitlines())


# -- more processes on the same file -------------------------------------------------------------------------------


def test_more_engines_share_the_work_and_each_run_is_done_once(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    start("--concurrency", "2")
    others = [bench.spawn("daemon", "run", "--no-scheduler", "--concurrency", "2") for _ in range(2)]
    bench.wait_for(lambda: 3 == len(bench.flowctl("daemon", "status", "--json").json["engines"]))
    lines = bench.write("lines", "")
    lines.write_text("".join(json.dumps({"name": f"n{count}"}) + "\n" for count in range(12)))
    bench.flowctl("run", f"{flows}:short", "--each", str(lines), "--detach")
    for number in range(1, 13):
        bench.in_state("succeeded", number)
    names = Counter(line.split()[0] for line in bench.ledger())
    assert {f"n{count}": 1 for count in range(12)} == names
    assert 3 == len(bench.flowctl("daemon", "status", "--json").json["engines"])
    for other in others:
        other.send_signal(signal.SIGTERM)
        other.communicate(timeout=60)
        assert 0 == other.returncode


def test_an_engine_takes_only_runs_of_its_queues_whose_labels_it_has(
    bench: Bench, flows: Path, start: Callable[..., int]
) -> None:
    start("--queue", "mail")
    other, mail = submit(bench, f"{flows}:short"), submit(bench, f"{flows}:short", "--queue", "mail")
    bench.in_state("succeeded", mail)
    assert "queued" == bench.shown(other)["state"]
