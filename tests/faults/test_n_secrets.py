"""N04: secrets from every source, and in every shape they are likely to take, looked for in all that flowctl leaves."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from tests.faults.conftest import Bench

# Assembled, so that neither this file nor the snapshot of a workflow's source holds them in one piece.
OF_FILE = "+".join(["canary", "of", "the/private", "file?"])
OF_COMMAND = ".".join(["canary", "of", "the", "command"])

WORKFLOW = """
import base64, json, urllib.parse

def shapes(value):
    raw = value.encode()
    yield from (value, urllib.parse.quote(value, safe=""), json.dumps({"v": value}))
    for user in ("", "a", "ab", "ann:"):
        yield base64.b64encode(user.encode() + raw).decode()
        yield base64.urlsafe_b64encode(user.encode() + raw + b" and more").decode()

@step
def speak(of: str) -> list:
    value = secret(of)
    for shape in shapes(value):
        print("shape", shape)
        for at in range(0, len(shape), 5):
            os.write(1, shape[at:at + 5].encode())
            time.sleep(0.001)
        os.write(1, b" end\\n")
        subprocess.run(["echo", "child", shape])
    return [{shape: shape} for shape in shapes(value)]

@step
def fails(of: str) -> None:
    local = list(shapes(secret(of)))
    raise RuntimeError("no access with " + " ".join(local))

@workflow
def main() -> None:
    for of in ("OF_FILE", "OF_COMMAND"):
        note(str(len(secret(of))))
        speak(of)
        try:
            fails(of)
        except StepFailed:
            pass
    raise ValueError(base64.b64encode(b"u:" + secret("OF_FILE").encode()).decode())
"""


def _configure() -> None:
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "flowctl"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "OF_FILE").write_text(OF_FILE + "\n")
    (folder / "secrets" / "OF_FILE").chmod(0o600)
    words = json.dumps(["sh", "-c", "printf %s. canary of the; printf command"])
    (folder / "config.toml").write_text(f"[secrets]\nOF_COMMAND = {{ command = {words} }}\n")


def _shapes(value: str) -> list[str]:
    raw = value.encode()
    inner = [base64.b64encode(bytes(before) + raw).decode()[4 : (before + len(raw)) * 8 // 6] for before in range(3)]
    safe = [each.replace("+", "-").replace("/", "_") for each in inner]
    return [value, quote(value, safe=""), json.dumps(value)[1:-1], *inner, *safe]


def test_n04_a_secret_of_any_source_is_in_no_file_and_no_answer_in_any_of_its_shapes(
    bench: Bench, tmp_path: Path
) -> None:
    _configure()
    bench.write("wf.py", WORKFLOW)
    said = [bench.flowctl("run", "wf.py", code=1)]
    assert [str(len(OF_FILE)), str(len(OF_COMMAND))] == bench.ledger()
    said += [bench.flowctl("grep", "canary"), bench.flowctl("grep", "no access", "--json")]
    said += [bench.flowctl("show", "1"), bench.flowctl("show", "1", "--json"), bench.flowctl("logs", "1")]
    said += [bench.flowctl("sql", f"SELECT * FROM {view}", "--csv") for view in ("runs", "steps", "attempts", "events")]
    said += [bench.flowctl("events", "--json"), bench.flowctl("secrets", "list"), bench.flowctl("metrics")]
    bench.flowctl("db", "backup", "copy.db")
    text = "".join(each.stdout + each.stderr for each in said)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "OF_FILE"}
    for shape in (*_shapes(OF_FILE), *_shapes(OF_COMMAND)):
        assert shape not in text, shape
        assert [] == [path.name for path, content in kept.items() if shape.encode() in content], shape
    assert {"flow.db", "copy.db"} <= {path.name for path in kept} | {"flow.db"}
    assert "shape ***" in text
    assert "no access with ***" in text


def test_a_slow_secret_holds_up_nobody_else_and_is_asked_for_once(bench: Bench, tmp_path: Path) -> None:
    _configure()
    asked, go = tmp_path / "asked", tmp_path / "go"
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "flowctl" / "config.toml"
    words = json.dumps(["sh", "-c", f"echo x >> {asked}; until test -e {go}; do sleep 0.02; done; echo slow-secret"])
    config.write_text(f"[secrets]\nSLOW = {{ command = {words} }}\nBAD = {{ command = ['false'] }}\n")
    bench.write(
        "wf.py",
        """
@step
def ticks() -> list:
    return [time.sleep(0.01) or n for n in range(3)]  # while the other branch is held up

@step
def asks() -> int:
    return len(secret("SLOW")) + len(secret("SLOW"))

@step
def bad() -> str:
    return secret("BAD")

@workflow
def main() -> int:
    got = gather(asks.bind(), ticks.bind())
    try:
        bad()
    except StepFailed as failure:
        note(failure.message)
    return got[0]
""",
    )
    process = bench.spawn("run", "wf.py", "--json")
    bench.wait_for(lambda: bench.run_of(1))
    with bench.store() as store:
        bench.wait_for(lambda: {("ticks", "succeeded")} <= {(step.key, step.state) for step in store.steps.of_run(1)})
        assert {"asks": "running", "ticks": "succeeded"} == {step.key: step.state for step in store.steps.of_run(1)}
    go.touch()
    out, _ = process.communicate(timeout=60)
    assert 2 * len("slow-secret") == json.loads(out)["output"]
    assert 1 == len(asked.read_text().splitlines())
    assert ["there is no secret BAD: false ended with exit code 1"] == (tmp_path / "ledger").read_text().splitlines()


def test_n04_a_number_and_bytes_that_hold_a_secret_are_in_no_file(bench: Bench) -> None:
    bench.write(
        "typed.py",
        """
        import uuid

        @step
        def number(pin: str) -> dict:
            note("number")
            return {"small": 1234, "found": [0.5, float(pin)]}

        @step
        def raw(pin: str) -> bytes:
            return b"pin=" + pin.encode()

        @step
        def given(pin: int) -> None:
            note("given")

        @workflow
        def main() -> list:
            pin, said = secret("PIN"), []
            for each in (number, raw):
                try:
                    each(pin)
                except StepFailed as failure:
                    said.append(failure.message)
            try:
                given(-int(pin))
            except TypeError as refusal:
                said.append(str(refusal))
            return said
        """,
    )
    pin = "".join(["98", "76", "54", "32"])
    found = bench.flowctl("run", "typed.py", PIN=pin).json
    number = "is the value of a secret or a sensitive parameter, which is never stored: leave it out"
    raw = "holds a secret or a sensitive parameter, which is never stored, and cannot be read without it"
    assert found == [
        f"output of number: $.found[1] {number}",
        f"output of raw: $ {raw}",
        f"input of given: $.pin {number}",
    ]
    assert ["number"] == bench.ledger()
    folder = Path(os.environ["XDG_STATE_HOME"]) / "flowctl"
    left = {path.name for path in folder.rglob("*") if path.is_file() and pin.encode() in path.read_bytes()}
    assert set() == left
