"""Values that are hard to record, to keep and to show: from the body to the screen, through the real command line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.conftest import Bench

REFUSED = """
import socket

@step(retries=3, backoff="1ms")
def give(what: str) -> object:
    note(what)
    if what == "socket":
        return {"items": [0, 1, {"socket": socket.socket()}]}
    if what == "lambda":
        return {"call": lambda: None}
    if what == "nan":
        return {"a": [1.0, float("nan")]}
    if what == "infinity":
        return float("inf")
    if what == "deep":
        value = []
        for _ in range(100_000):
            value = [value]
        return value
    if what == "cycle":
        value = {}
        value["self"] = value
        return value
    if what == "digits":
        return {"n": 10 ** 5000}
    if what == "keys":
        return {1: "a", True: "b", None: "c"}
    return what

@workflow
def main(kinds: list) -> dict:
    said = {}
    for kind in kinds:
        try:
            give(kind)
        except StepFailed as failure:
            said[kind] = f"{failure.type}: {failure.message}"
    return said
"""


def test_k01_k03_k06_k07_k08_k09_what_cannot_be_recorded_fails_its_step_and_nothing_else(bench: Bench) -> None:
    """With the path, and at once: running the body again would only repeat its side effects."""
    bench.write("wf.py", REFUSED)
    paths = {
        "socket": "$.items[2].socket",
        "lambda": "$.call",
        "nan": "$.a[1]",
        "infinity": "$",
        "deep": "nested deeper than 500 levels",
        "cycle": "nested deeper than 500 levels, or contains itself",
        "digits": "$.n",
        "keys": "$",
    }
    said = bench.flowctl("run", "wf.py", f"kinds:={json.dumps([*paths, 'fine'])}").json
    assert [*paths] == [*said]
    for kind, path in paths.items():
        assert path in said[kind], said[kind]
        assert len(said[kind]) < 2000
    assert [*paths, "fine"] == bench.ledger()
    steps = bench.shown()["steps"]
    assert ["failed"] * len(paths) + ["succeeded"] == [step["state"] for step in steps]
    assert all(step["output"] is None for step in steps[:-1])


def test_k02_100_mb_are_refused_and_300_kb_come_back_whole(bench: Bench) -> None:
    bench.write(
        "wf.py",
        """
        @step(retries=2, backoff="1ms")
        def make(size: int) -> str:
            note(f"make {size}")
            return "é" * (size // 2)

        @step
        def measure(text: str) -> int:
            return len(text)

        @workflow
        def main() -> int:
            try:
                make(100_000_000)
            except StepFailed as failure:
                note(f"refused: {failure.type}: {failure.message}")
            text = make(300_000)
            assert text == "é" * 150_000
            return measure(text)
        """,
    )
    env = {"FLOWCTL_TESTING": "1", "FLOWCTL_FAILPOINT": "step-running@3:kill"}
    bench.flowctl("run", "wf.py", code=-9, **env)
    assert "150000\n" == bench.flowctl("resume", "1").stdout  # what was recorded answers, and is compared with
    refusal = "refused: TooLarge: its output is 95.4 MB as JSON, more than the 10 MB that are recorded"
    assert ["make 100000000", refusal, "make 300000", refusal] == bench.ledger()
    steps = bench.shown()["by_key"]
    assert "é" * 150_000 == steps["make#2"]["output"] == steps["measure"]["input"]["text"]
    with bench.store() as store:
        stored = store.connection.rows("SELECT length(CAST(text AS BLOB)) FROM payloads ORDER BY 1")
        row = store.connection.rows("SELECT length(output) FROM steps WHERE key = 'make#2'")
        assert [(300_002,), (300_011,)] == [tuple(each) for each in stored]  # "…" and {"text":"…"}
        assert row[0][0] < 100
        assert os.path.getsize(store.path) < 4 << 20


def test_k02_an_input_beyond_the_limit_is_refused_and_nothing_is_written(bench: Bench, tmp_path: Path) -> None:
    bench.write("wf.py", "@workflow\ndef main(text: str) -> int:\n    return len(text)\n")
    (tmp_path / "large").write_text("x" * (11 << 20))
    said = bench.flowctl("run", "wf.py", "text=@large", code=2)
    assert "its input is 11.0 MB as JSON, more than the 10 MB that are recorded" in said.stderr
    assert bench.run_of(1) is None
    (tmp_path / "large").write_text("x" * (2 << 20))
    assert f"{2 << 20}\n" == bench.flowctl("run", "wf.py", "text=@large").stdout


ODD = """
LONE, NUL, ANSI = "lone \\ud800 surrogate", "nul \\0 in \\x1b[31mred", "bell \\x07 c1 \\x9b"

@step
def odd(value: dict) -> dict:
    print("printed", value["nul"])
    print("printed", value["lone"])
    return value

@step
def broken() -> None:
    raise ValueError("\\ud800\\0\\x1b]0;title\\x07 and NaN is " + str(float("nan")))

@workflow
def main() -> dict:
    value = odd({"lone": LONE, "nul": NUL, "ansi": ANSI, "zero": -0.0, "big": 2 ** 64, "ключ": 1})
    assert (value["lone"], value["nul"], value["ansi"]) == (LONE, NUL, ANSI)
    broken()
"""


def test_k04_k05_k08_odd_text_comes_back_and_is_shown_without_obeying_it(bench: Bench) -> None:
    bench.write("wf.py", ODD)
    said = bench.flowctl("run", "wf.py", code=1)
    outputs = [said.stdout + said.stderr]
    expected = {
        "lone": "lone \ud800 surrogate",
        "nul": "nul \0 in \x1b[31mred",
        "ansi": "bell \x07 c1 \x9b",
        "zero": -0.0,
        "big": 2**64,
        "ключ": 1,
    }
    for words in (("show", "1", "--json"), ("show", "1", "odd", "--json")):
        text = bench.flowctl(*words).stdout
        outputs.append(text)
        found = json.loads(text)
        step = found["steps"][0] if "steps" in found else found
        assert expected == step["output"] == step["input"]["value"]
        assert list(expected) == list(step["output"])
    for words in (
        ("show", "1"),
        ("show", "1", "odd", "--all"),
        ("show", "1", "broken"),
        ("logs", "1"),
        ("ls", "--json"),
    ):
        outputs.append(bench.flowctl(*words).stdout)
    for text in outputs:
        assert not set(text) & set("\0\x07\x1b\x9b"), text
        text.encode()
    shown = outputs[4]
    for visible in ("\\ud800", "\\u0000", "\\u001b[31m"):
        assert visible in shown, shown
    assert "NaN is nan" in outputs[5]


def test_k10_the_order_of_keys_is_kept_and_does_not_count_as_a_change(bench: Bench) -> None:
    source = """
    @step
    def take(value: dict) -> dict:
        note("take")
        return value

    @step
    def end(fail: bool) -> None:
        if fail:
            raise ValueError("no")

    @workflow
    def main() -> dict:
        value = take({"b": 1, "a": {"d": -0.0, "c": (1, 2)}})
        end(%s)
        return value
    """
    bench.write("wf.py", source % True)
    bench.flowctl("run", "wf.py", code=1)
    bench.write(
        "wf.py",
        (source % True).replace('"b": 1, "a": {"d": -0.0, "c": (1, 2)}', '"a": {"c": (1, 2), "d": -0.0}, "b": 1'),
    )
    bench.flowctl("retry", "1", code=1)  # not blocked
    assert ["take"] == bench.ledger()
    assert '"input": {"value":{"b":1,"a":{"d":-0.0,"c":' in bench.flowctl("show", "1", "--json").stdout


def test_k10_json_with_double_keys_or_beyond_numbers_is_refused(bench: Bench) -> None:
    bench.write("wf.py", "@workflow\ndef main(a: float) -> float:\n    return a\n")
    for text, problem in (('{"a": 1, "a": 2}', "twice"), ('{"a": 1e400}', "1e400"), ('{"a": NaN}', "NaN")):
        said = bench.flowctl("run", "wf.py", "--input", text, code=2)
        assert problem in said.stderr, said.stderr
        assert 1 == len(said.stderr.strip().splitlines())
    assert bench.run_of(1) is None
    bench.flowctl("run", "wf.py", "--input", '{"a": 1e300}')


def _own_time(bench: Bench, *words: str) -> tuple[float, str]:
    """Return the seconds that a command takes beyond starting at all, and what it printed."""
    times, out = [], ""
    for command in (["--version"], [*words]):
        begun = time.perf_counter()
        out = bench.flowctl(*command).stdout
        times.append(time.perf_counter() - begun)
    return times[1] - times[0], out


def test_k11_a_run_of_10000_steps_is_shown_by_the_page(bench: Bench, record_property: Any) -> None:
    """How long it takes is reported: `pytest -rA` or the JUnit file."""
    bench.write(
        "wf.py",
        """
        @step(pure=True)
        def count(number: int) -> int:
            return number

        @workflow
        def main() -> int:
            return sum(count(number) for number in range(10_000))
        """,
    )
    assert f"{sum(range(10_000))}\n" == bench.flowctl("run", "wf.py", "--quiet").stdout
    for words in (["show", "1"], ["ls"], ["show", "1", "count#5000"], ["ls", "--json"]):
        took, out = _own_time(bench, *words)
        record_property(" ".join(words), f"{took * 1000:.0f} ms")
        print(f"{' '.join(words)}: {took * 1000:.0f} ms")
        if words == ["show", "1"]:
            assert "count#10000" in out
            assert "count#9951" in out
            assert "count#9950" not in out
            assert "9950" in out  # how many are left out
    assert 10_000 == len(bench.shown()["steps"])


RAW = """
@step
def speak(how: str) -> None:
    bad = b"caf\\xe9 \\xff\\xfe \\x1b[2J\\x00 end\\n"
    sys.stdout.buffer.write(bad)
    sys.stdout.flush()
    os.write(1, bad)
    subprocess.run(["printf", "%b", "child \\\\0351\\\\n"])
    os.write(2, b"no end of line")

@step
def long_line() -> None:
    for _ in range(100):
        sys.stdout.write("y" * 1_000_000)
    for _ in range(100):
        os.write(2, b"z" * 1_000_000)

@workflow
def main() -> None:
    speak("x")
    long_line()
"""


def test_k12_bytes_that_are_no_text_and_lines_without_end_are_captured_and_shown_safely(bench: Bench) -> None:
    bench.write("wf.py", RAW)
    said = bench.flowctl("run", "wf.py", "--quiet")
    assert "" == said.stderr
    with bench.store() as store:
        lines = store.logs.of_run(1, "speak", 0, 100)
        text = "".join(line.text for line in lines)
        assert 2 == text.count("caf\ufffd \ufffd\ufffd \x1b[2J\0 end\n")
        assert "child \ufffd\n" in text
        assert "no end of line" in text
        sizes = {"y": 0, "z": 0}
        for line in store.logs.of_run(1, "long_line", 0, 10_000):
            for letter in sizes:
                sizes[letter] += line.text.count(letter)
    assert {"y": 1 << 20, "z": 1 << 20} == sizes
    shown = bench.flowctl("logs", "1", "speak").stdout
    assert not set(shown) & set("\0\x1b")
    assert "\\x1b[2J\\x00 end" in shown
