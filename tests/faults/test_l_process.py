"""What user code can do to the process it runs in."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.conftest import dead

if TYPE_CHECKING:
    from tests.faults.conftest import Bench


def _lines(bench: Bench, name: str, lines: list[dict[str, Any]]) -> str:
    path = bench.write(name, "").parent / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return name


def _errors(bench: Bench, count: int) -> list[tuple[str, str]]:
    found = []
    for number in range(1, count + 1):
        run = bench.run_of(number)
        assert run is not None
        error = json.loads(run.error or "{}")
        found.append((run.state, f"{error.get('type')}: {error.get('message')}"))
    return found


ENDS = """
import ctypes, resource

@step(retries=0)
def end(how: str) -> str:
    note(how)
    if how == "sys.exit(0)":
        sys.exit(0)
    if how == "sys.exit(3)":
        sys.exit(3)
    if how == "os._exit(0)":
        os._exit(0)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "close all":
        os.closerange(0, 1024)
        open(HERE / "mine", "w").write("mine")
        return "closed"
    if how == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "memory":
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        return len(b"x" * (1 << 31))
    if how == "recursion":
        return end.function(how)
    if how == "deep recursion":
        sys.setrecursionlimit(1 << 30)
        def deeper(_):
            return [*map(deeper, [0])]
        deeper(0)
    return "fine"

@workflow
def main(how: str) -> str:
    return end(how)
"""
SILENT = [
    ("sys.exit(0)", "SystemExit: exited with sys.exit(0) instead of returning"),
    ("sys.exit(3)", "SystemExit: exited with sys.exit(3) instead of returning"),
    ("os._exit(0)", "ExecutorDied: the step exited with code 0 without a result"),
    ("segfault", "ExecutorDied: the step was killed by SIGSEGV"),
    ("close all", "ExecutorDied: the step closed flowctl's own channel, which no step may touch"),
    ("SIGKILL", "ExecutorDied: the step was killed by SIGKILL (out of memory?)"),
    ("memory", "MemoryError"),
    ("recursion", "RecursionError: maximum recursion depth exceeded"),
    (
        "deep recursion",
        "RecursionError" if sys.version_info >= (3, 12) else "ExecutorDied: the step was killed by SIGSEGV",
    ),
    ("return", ""),
]


def test_l04_l05_l06_only_a_framed_result_counts(bench: Bench, tmp_path: Path) -> None:
    """However an executor ends, its run has failed with a clear text, and the next one works."""
    bench.write("wf.py", ENDS)
    bench.flowctl("run", "wf.py", "--each", _lines(bench, "ways", [{"how": how} for how, _ in SILENT]), code=1)
    for (how, text), (state, error) in zip(SILENT, _errors(bench, len(SILENT)), strict=True):
        assert ("failed" if text else "succeeded") == state, (how, error)
        assert error.startswith(f"StepFailed: step end failed: {text}" if text else "None"), (how, error)
    assert [how for how, _ in SILENT if how != "recursion"] == [
        line for line in dict.fromkeys(bench.ledger()) if line != "recursion"
    ]
    assert "mine" == (tmp_path / "mine").read_text()  # and no frame of ours, whatever descriptor it got


FLOOD = """
def wait(name):
    while not (HERE / name).exists():
        time.sleep(0.005)

@step
def flood(how: str) -> None:
    note(f"ready {os.getpid()}")
    wait("go")
    line = "x" * 999 + "\\n"
    if how == "print":
        print("the beginning")
        for _ in range(200):
            print(line * 1000, end="")
        print("the end")
    else:
        os.write(1, b"the beginning\\n")
        data = line.encode() * 1000
        for _ in range(200):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(1, rest):]
        os.write(1, b"the end\\n")
    note("done 1")
    wait("stop")

@workflow
def main(how: str) -> None:
    flood(how)
"""


def _memory(pid: int, name: str) -> int:
    """Return VmRSS or VmHWM of a process in bytes."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("how", ["print", "os.write"])
def test_l08_200_mb_of_output_keep_head_and_tail_and_no_memory(bench: Bench, tmp_path: Path, how: str) -> None:
    bench.write("wf.py", FLOOD)
    process = bench.spawn("run", "wf.py", f"how={how}", "--quiet")
    bench.noted("ready")
    before = _memory(process.pid, "VmRSS")
    bench.write("go", "")
    bench.noted("done")
    grown = _memory(process.pid, "VmHWM") - before
    bench.write("stop", "")
    bench.in_state("succeeded")
    with bench.store() as store:
        texts = [line.text for line in store.logs.of_run(1, "flood", 0, 10_000)]
        size = os.path.getsize(store.path)
    assert process.wait(60) == 0
    said = "".join(texts)
    assert said.startswith("the beginning\n")
    assert "the end\n" in said[-2000:]
    assert "characters left out" in said
    assert 1_000_000 < len(said) < 1_300_000
    assert size < 8 << 20
    assert grown < 20 << 20


LEAKS = """
import builtins, json, locale, warnings, random as chance

def state():
    numbers = (signal.SIGINT, signal.SIGUSR1, signal.SIGALRM)
    mask = os.umask(0)
    os.umask(mask)
    return {
        "directory": os.getcwd(),
        "umask": mask,
        "environ": dict(os.environ),
        "signals": [str(signal.getsignal(number)).split(" at ")[0] for number in numbers],
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "locale": locale.setlocale(locale.LC_ALL),
        "path": sys.path,
        "argv": sys.argv,
        "stdout": type(sys.stdout).__name__,
        "filters": len(warnings.filters),
        "recursion": sys.getrecursionlimit(),
        "dumps": json.dumps({"a": 1}),
        "exists": os.path.exists("/"),
        "sleep": time.sleep.__module__ if hasattr(time.sleep, "__module__") else "",
        "nice": os.nice(0),
        "files": __import__("resource").getrlimit(__import__("resource").RLIMIT_NOFILE)[0],
    }

@step
def spoil(number: int) -> str:
    import resource
    os.chdir("/")
    os.umask(0)
    os.environ["LEAKED"] = "1"
    os.environ.pop("PATH", None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    for name in ("C.UTF-8", "C.utf8", "POSIX"):
        try:
            locale.setlocale(locale.LC_ALL, name)
            break
        except locale.Error:
            pass
    sys.path.insert(0, "/nowhere")
    sys.argv[:] = ["other"]
    warnings.simplefilter("error")
    sys.setrecursionlimit(5000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if number == 4:
        os.nice(3)
        json.dumps = lambda *_, **__: "patched"
        os.path.exists = lambda *_: "patched"
        time.sleep = lambda *_: None
    sys.stdout = open(os.devnull, "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return "spoilt"

@workflow
def main(number: int) -> object:
    if number % 2 == 0:
        return spoil(number)
    note(f"pid {os.getpid()}")
    print(f"hello {number}")
    os.write(1, f"raw {number}\\n".encode())
    return state()
"""


def test_l09_what_a_run_does_to_its_process_does_not_reach_the_next_one(bench: Bench) -> None:
    bench.write("wf.py", LEAKS)
    lines = _lines(bench, "numbers", [{"number": number} for number in (1, 2, 3, 4, 5)])
    said = bench.flowctl("run", "wf.py", "--each", lines)
    first, spoilt, second, _, third = [json.loads(line) for line in said.stdout.splitlines()]
    assert "spoilt" == spoilt
    for name in first:
        own = ("FLOWCTL_EXECUTOR",)  # which executor it was may differ
        for state in (first, second, third):
            if name == "environ":
                state[name] = {key: value for key, value in state[name].items() if key not in own}
        assert first[name] == second[name] == third[name], name
    processes = bench.noted("pid", 3)
    assert processes[0] == processes[1]  # put in order and used again
    assert processes[1] != processes[2]  # what was patched besides, nobody knows
    with bench.store() as store:
        assert ["hello 3", "raw 3"] == sorted(
            "".join(line.text for line in store.logs.of_run(3, None, 0, 9)).split("\n")
        )[1:]


FORGED = """
import json, stat, struct

def frame(token):
    text = json.dumps("forged").encode()
    done = ["done", {"key": "work", "state": "succeeded"}, len(text)]
    ended = ["ended", {"state": "succeeded"}, len(text)]
    head = json.dumps([token, [done, ended]]).encode()
    return struct.pack(">II", 4 + len(head) + 2 * len(text), len(head)) + head + text + text

@step(retries=0)
def work(how: str) -> str:
    note(how)
    if how == "printed":
        sys.stdout.buffer.write(frame("0" * 16))
        sys.stdout.flush()
        os.write(1, frame("0" * 16))
        os.write(2, frame("0" * 16))
        return "true result"
    data = frame("0" * 16) if how == "forged" else b"garbage" * 1000
    for fd in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.set_blocking(fd, False)
                os.write(fd, data)
        except OSError:
            pass
    time.sleep(100)
    return "true result"

@workflow
def main(how: str) -> str:
    return work(how)
"""


def test_l10_a_forged_result_is_never_taken_for_one(bench: Bench) -> None:
    bench.write("wf.py", FORGED)
    lines = _lines(bench, "ways", [{"how": "forged"}, {"how": "garbage"}, {"how": "printed"}])
    said = bench.flowctl("run", "wf.py", "--each", lines, code=1)
    text = (
        "StepFailed: step work failed: ExecutorDied: the step wrote into flowctl's own channel, which no step may touch"
    )
    assert [("failed", text)] * 2 == _errors(bench, 2)
    assert '"true result"\n' == said.stdout, said.stderr
    assert ["forged", "garbage", "printed"] == bench.ledger()


def test_l14_a_thread_that_goes_on_printing_ends_with_its_run(bench: Bench) -> None:
    bench.write(
        "wf.py",
        """
        def chatter():
            while True:
                print("still here")
                os.write(1, b"raw\\n")
                time.sleep(0.001)

        @step
        def begin() -> int:
            note(f"pid {os.getpid()}")
            threading.Thread(target=chatter).start()
            return os.getpid()

        @step
        def other() -> str:
            time.sleep(0.05)
            return "other"

        @workflow
        def main(loud: bool) -> list:
            return [begin() if loud else os.getpid(), other()]
        """,
    )
    lines = _lines(bench, "runs", [{"loud": True}, {"loud": False}])
    said = bench.flowctl("run", "wf.py", "--each", lines, "--quiet")
    (loud, _), (quiet, _) = [json.loads(line) for line in said.stdout.splitlines()]
    assert loud != quiet  # it was replaced
    assert dead(loud)
    with bench.store() as store:
        assert [] == store.logs.of_run(2, None, 0, 10)
        assert {"begin", "other", None} >= {line.step for line in store.logs.of_run(1, None, 0, 10_000)}
