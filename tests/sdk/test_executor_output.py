"""What user code prints and logs, captured by step, on a real executor process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sdk.scripted_engine import ROOT, ScriptedEngine


def workflow(body: str, head: str = "") -> str:
    """Return a workflow file whose only step does `body`."""
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return (
        f"import logging, os, subprocess, sys, threading, time\nfrom flowctl import *\n{head}\n"
        f"@step\ndef work() -> None:\n{lines}\n@workflow\ndef main() -> None:\n    work()\n"
    )


def test_prints_are_captured_by_step_attempt_and_stream(engine: ScriptedEngine) -> None:
    engine.run("""
        import sys
        from flowctl import step, workflow

        @step
        def work() -> None:
            print("out")
            print("err", file=sys.stderr)
            sys.stdout.buffer.write(b"bytes\\n")

        @workflow
        def main() -> None:
            print("before")
            work()
            print("after")
    """)
    logs = [(m.fields["step"], m.fields["attempt"], m.fields["stream"], m.payload) for m in engine.of_kind("log")]
    assert logs == [
        (None, None, "stdout", "before\n"),
        ("work", 1, "stdout", "out\n"),
        ("work", 1, "stderr", "err\n"),
        ("work", 1, "stdout", "bytes\n"),
        (None, None, "stdout", "after\n"),
    ]
    assert all(isinstance(message.fields["at"], int) for message in engine.of_kind("log"))
    assert engine.raw_output() == b""


def test_what_a_step_printed_comes_before_its_outcome(engine: ScriptedEngine) -> None:
    engine.run(workflow("print('x', end='')"))
    kinds = [message.kind for message in engine.messages]
    assert kinds[-3:] == ["log", "done", "ended"]


def test_log_records_carry_their_level(engine: ScriptedEngine) -> None:
    engine.run(
        workflow("""
logging.getLogger("app").info("hello %s", "you")
print("between")
logging.getLogger("app.db").error("bad", exc_info=ValueError("why"))
logging.debug("too fine")
""")
    )
    logs = [(m.fields["stream"], m.fields["level"], m.payload) for m in engine.of_kind("log")]
    assert logs[:2] == [("log", "INFO", "hello you"), ("stdout", None, "between\n")]
    assert (logs[2][1], (logs[2][2] or "").splitlines()[0]) == ("ERROR", "bad")
    assert "ValueError: why" in (logs[2][2] or "")
    assert len(logs) == 3


def test_logging_that_is_first_imported_inside_a_step_carries_its_level(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        import sys
        import importlib.util
        from flowctl import step, workflow

        importlib.util.find_spec("logging")  # looks for it, and does not import it

        @step
        def work() -> bool:
            unasked = "logging" not in sys.modules
            import logging
            logging.getLogger("app").info("late")
            finders = [type(finder).__module__ for finder in sys.meta_path]
            assert "flowctl.sdk.imported" not in finders, finders
            assert logging.__loader__ is logging.__spec__.loader
            assert "flowctl" not in type(logging.__loader__).__module__
            return unasked

        @workflow
        def main() -> bool:
            return work()
    """)
    assert ended.payload == "true"
    assert [("log", "INFO", "late")] == [
        (m.fields["stream"], m.fields["level"], m.payload) for m in engine.of_kind("log")
    ]


def test_a_logging_py_beside_the_workflow_is_the_workflow_s_own_affair(engine: ScriptedEngine) -> None:
    engine.write("def note(text):\n    print('note:', text)\n", "logging.py")
    engine.run("""
        import logging
        from flowctl import step, workflow

        @step
        def work() -> None:
            logging.note("mine")

        @workflow
        def main() -> None:
            work()
    """)
    assert engine.text("stdout", "work") == "note: mine\n"


@pytest.mark.parametrize("where", ["head", "body"])
def test_basic_config_keeps_its_meaning_and_the_level(engine: ScriptedEngine, where: str) -> None:
    configure = "logging.basicConfig(level=logging.DEBUG, format='<%(message)s>')"
    body = "logging.debug('fine')"
    source = workflow(body, head=configure) if where == "head" else workflow(f"{configure}\n{body}")
    engine.run(source)
    logs = [(m.fields["stream"], m.fields["level"], m.payload) for m in engine.of_kind("log")]
    assert logs == [("log", "DEBUG", "<fine>")]


def test_a_broken_log_call_does_not_fail_the_step(engine: ScriptedEngine) -> None:
    ended = engine.run(workflow("logging.warning('%d', 'x')"))
    assert ended.fields["state"] == "succeeded"
    assert "Logging error" in engine.text("stderr")


def test_lines_arrive_while_the_step_runs(engine: ScriptedEngine) -> None:
    engine.load(workflow("print('first'); time.sleep(300)"))
    engine.start()
    engine.answer(engine.until("step"))
    while "first\n" not in engine.text():
        assert engine.nothing_comes(0.02)


def test_threads_of_a_step_print_into_the_step(engine: ScriptedEngine) -> None:
    engine.run(workflow("thread = threading.Thread(target=print, args=('hi',)); thread.start(); thread.join()"))
    assert engine.text("stdout", "work") == "hi\n"


def test_l14_a_thread_that_prints_after_its_step_belongs_to_the_run(engine: ScriptedEngine) -> None:
    engine.run("""
        import threading
        from flowctl import step, workflow
        go = threading.Event()
        thread = threading.Thread(target=lambda: (go.wait(), print("late")))

        @step
        def work() -> None:
            thread.start()

        @workflow
        def main() -> None:
            work()
            go.set()
            thread.join()
    """)
    assert engine.text("stdout", None) == "late\n"


def test_l08_output_without_bounds_keeps_beginning_and_end(engine: ScriptedEngine) -> None:
    engine.load(
        workflow("""
line = "x" * 99
print("FIRST")
for _ in range(500_000):
    print(line)
print("LAST")
""")
    )
    before = _resident(engine)
    engine.start()
    engine.channel.settimeout(60)
    assert engine.serve().fields["state"] == "succeeded"
    text = engine.text()
    assert text.startswith("FIRST\nxxx")
    assert text.endswith("x\nLAST\n")
    assert 1_000_000 < len(text) < 1_060_000
    left_out = next(line for line in text.splitlines() if "left out" in line)
    assert int(left_out.split()[1]) == 50_000_011 - (len(text) - len(left_out) - 2)
    assert _resident(engine) - before < 20 << 10


def _resident(engine: ScriptedEngine) -> int:
    return int(Path(f"/proc/{engine.process.pid}/statm").read_text().split()[1]) * 4


def test_k12_one_endless_line_and_bad_utf8_are_captured(engine: ScriptedEngine) -> None:
    ended = engine.run(
        workflow(r"""
sys.stdout.write("y" * 3_000_000)
sys.stderr.buffer.write(b"\xff\xfe caf\xc3")
sys.stderr.buffer.write(b"\xa9 \x1b[31mred\n")
print("\ud800")
""")
    )
    assert ended.fields["state"] == "succeeded"
    assert engine.text("stderr") == "�� café \x1b[31mred\n"
    assert engine.text("stdout").startswith("yyyy")
    assert engine.text("stdout").endswith("\\ud800\n")


def test_raw_file_descriptors_stay_pipes_to_the_engine(engine: ScriptedEngine) -> None:
    engine.run(workflow("os.write(1, b'raw\\n'); subprocess.run(['echo', 'child'], stdout=sys.stdout)"))
    assert engine.raw_output() == b"raw\nchild\n"


def test_standard_input_is_empty(engine: ScriptedEngine) -> None:
    ended = engine.run(
        "import sys\nfrom flowctl import workflow\n@workflow\ndef main() -> str:\n    return sys.stdin.read()\n"
    )
    assert ended.payload == '""'


def test_the_captured_streams_behave_like_files(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        import sys
        from flowctl import workflow

        @workflow
        def main() -> list:
            out = sys.stdout
            out.writelines(["a", "b\\n"])
            out.flush()
            out.close()
            print("still")
            out.reconfigure(line_buffering=True)
            try:
                out.write(b"x")
            except TypeError as error:
                refused = str(error)
            return [out.isatty(), out.fileno(), out.encoding, out.writable(), out.closed, refused]
    """)
    assert ended.payload == '[false,1,"utf-8",true,false,"write() argument must be str, not bytes"]'
    assert engine.text() == "ab\nstill\n"


# -- secrets -----------------------------------------------------------------------------------------------------------


CANARY = 'c4nary"ü/€'


def test_n04_a_secret_never_leaves_the_executor(engine: ScriptedEngine) -> None:
    engine.secrets = {"TOKEN": CANARY}
    ended = engine.run("""
        import json, logging, subprocess, sys, urllib.parse
        from flowctl import gather, secret, sh, step, workflow

        @step
        def leak(token: str, header: str) -> dict:
            assert token == secret("TOKEN") and token in header
            print("plain", token)
            for piece in (token[:3], token[3:5], token[5:], "\\n"):
                sys.stdout.write(piece)
                sys.stdout.flush()
            print(json.dumps({"t": token}), repr(str(token)), urllib.parse.quote(token, safe=""), file=sys.stderr)
            logging.error("log %s", token)
            return {"token": token, token: [header]}

        @step
        def fail(token: str) -> None:
            local = token
            raise ValueError(f"bad token {local}") from KeyError(token)

        @workflow
        def main() -> list:
            token = secret("TOKEN")
            print(f"workflow {token}")
            out = [leak(token, f"Bearer {token}")]
            out.append(sh(["printf", "%s", token]).stdout)
            out.append(sh(f"cat; cat >&2 <<'X'\\n{json.dumps(token)}\\nX", input=token, env={"T": token}).stderr)
            try:
                fail(token)
            except Exception as error:
                out.append(str(error))
            return [*out, gather(leak.bind(token, str(token)), leak.bind(token, token))]
    """)
    assert ended.fields["state"] == "succeeded"
    said = b"".join(
        repr((message.kind, message.fields, message.payload)).encode() + (message.payload or "").encode()
        for message in engine.messages
        if message.kind != "mask"  # tells the engine's process, which keeps it in memory only
    )
    for form in (CANARY, CANARY.replace('"', '\\"'), "c4nary%22", "c4nary", "\\u20ac"):
        assert form.encode() not in said
    assert '{"$secret":"TOKEN"}' in (engine.of_kind("step")[0].payload or "")
    assert "plain ***\n***\n" in engine.text("stdout", "leak")
    assert engine.text("stdout", None).startswith("workflow ***\n")


def test_n04_the_engine_is_told_what_to_mask_before_user_code_gets_the_value(engine: ScriptedEngine) -> None:
    engine.secrets = {"TOKEN": "s3cr3t-value"}
    engine.load(
        "from flowctl import *\n@workflow\ndef main() -> int:\n    return len(secret('TOKEN')) + len(secret('TOKEN'))\n"
    )
    engine.start()
    assert engine.serve().payload == "24"
    said = [(message.kind, message.fields.get("value")) for message in engine.messages[-4:]]
    assert said == [("secret", None), ("mask", "s3cr3t-value"), ("secret", None), ("ended", None)]


def test_a_rotated_secret_does_not_look_like_a_changed_input(engine: ScriptedEngine) -> None:
    source = """
        from flowctl import secret, step, workflow

        @step
        def use(header: str) -> int:
            return len(header)

        @workflow
        def main() -> int:
            return use(f"Bearer {secret('TOKEN')}")
    """
    engine.secrets = {"TOKEN": "first-value"}
    first = engine.run(source)
    engine.past = engine.record()
    engine.secrets = {"TOKEN": "second, longer value"}
    assert engine.run().payload == first.payload


def test_the_executors_own_environment_answers_before_the_engine(tmp_path: Path) -> None:
    source = "from flowctl import *\n@workflow\ndef main() -> int:\n    return len(secret('TOKEN'))\n"
    with ScriptedEngine(tmp_path, environ={"TOKEN": "12345"}) as engine:
        engine.secrets = {"TOKEN": "1"}
        assert engine.run(source).payload == "5"
        assert engine.of_kind("secret") == []


def test_a_missing_secret_is_named(engine: ScriptedEngine) -> None:
    ended = engine.run("from flowctl import *\n@workflow\ndef main() -> int:\n    return len(secret('TOKEN'))\n")
    assert ended.fields["state"] == "failed"
    assert "TOKEN" in (ended.payload or "")


def test_a_short_secret_is_not_hidden_and_says_so(engine: ScriptedEngine) -> None:
    engine.secrets = {"PIN": "123"}
    engine.run("from flowctl import *\n@workflow\ndef main() -> None:\n    print('12345', secret('PIN'))\n")
    assert engine.text() == "12345 123\n"
    (warning,) = [message for message in engine.of_kind("log") if message.fields["level"] == "WARNING"]
    assert "PIN" in (warning.payload or "")


def test_what_an_executor_starts_does_not_see_its_channel_or_the_sdk(tmp_path: Path) -> None:
    source = """
        import os, subprocess, sys
        from flowctl import step, workflow

        @step
        def look() -> list:
            names = [name for name in os.environ if name in ("FLOWCTL_CHANNEL", "FLOWCTL_EXECUTOR")]
            import flowctl
            folder = os.path.dirname(os.path.dirname(flowctl.__file__))
            command = [sys.executable, "-S", "-c", "import sys; print(sys.path)"]
            path = subprocess.run(command, capture_output=True, text=True)
            return [names, folder in path.stdout, "/somewhere" in path.stdout]

        @workflow
        def main() -> list:
            return look()
    """
    with ScriptedEngine(tmp_path, environ={"PYTHONPATH": f"{ROOT}:/somewhere"}) as engine:
        assert engine.run(source).payload == '[["FLOWCTL_EXECUTOR"],false,true]'
