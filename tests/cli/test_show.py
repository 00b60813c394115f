"""`flowctl show` and `flowctl ls`: what a person reads, whole where it is not read on a screen."""

from __future__ import annotations

import json


def test_show_reads_from_top_to_bottom(flowctl, failing) -> None:
    flowctl("run", failing, code=1)
    text = flowctl("show", "@failed").stdout
    places = [
        text.index(part)
        for part in (
            "run 1  fails  ✗ failed",
            "STEP",
            "✓ succeeded",
            "ZeroDivisionError",
            "\ninput\n",
            "\nerror\n",
            "next: flowctl retry 1",
        )
    ]
    assert places == sorted(places)
    assert "ZeroDivisionError: division by zero" in text
    assert "file      " in text


def test_show_of_a_step_has_its_attempts(flowctl, tmp_path) -> None:
    (tmp_path / "flaky.py").write_text(
        "from pathlib import Path\nfrom flowctl import step, workflow\n\n@step(retries=3, backoff='1ms')\n"
        "def flaky() -> int:\n    with open('tries', 'a') as file:\n        file.write('x')\n"
        "    if len(Path('tries').read_text()) < 3:\n        raise ValueError('not yet')\n    return 1\n\n"
        "@workflow\ndef w() -> int:\n    return flaky()\n"
    )
    flowctl("run", "flaky.py")
    text = flowctl("show", "1", "flaky").stdout
    assert "run 1 step 1  flaky  ✓ succeeded" in text
    assert 2 == text.count("ValueError: not yet")
    rows = [line.split()[:3] for line in text.splitlines() if line.strip()[:2] in ("1 ", "2 ", "3 ")]
    assert [["1", "✗", "failed"], ["2", "✗", "failed"], ["3", "✓", "succeeded"]] == rows
    assert ["failed", "failed", "succeeded"] == [
        a["state"] for a in flowctl("show", "1", "1", "--json").json["attempts"]
    ]


def test_long_payloads_are_shortened_on_a_terminal_only(flowctl, on_terminal, hello) -> None:
    name = "x" * 20_000
    flowctl("run", hello, f"name={name}", "times=60", "-q")
    assert name in flowctl("show", "1").stdout
    assert "earlier steps" in flowctl("show", "1").stdout
    with on_terminal("show", "1") as screen:
        said = screen.read_to_end()
    assert name not in said.replace("\r\n", "").replace(" ", "")
    assert "more characters: flowctl show 1 --all" in said
    assert "… 10 earlier steps: flowctl show 1 --all" in said
    with on_terminal("show", "1", "--all") as screen:
        said = screen.read_to_end()
    assert name in said.replace("\r\n", "").replace(" ", "")
    assert "earlier steps" not in said
    with on_terminal("show", "1", "greet#2") as screen:
        assert "flowctl show 1 greet#2 --all" in screen.read_to_end()


def test_json_on_a_terminal_is_indented_and_whole(flowctl, on_terminal, hello) -> None:
    name = "x" * 20_000
    flowctl("run", hello, f"name={name}")
    with on_terminal("show", "1", "--json") as screen:
        said = screen.read_to_end()
    assert '\r\n  "run": 1,' in said
    assert name == json.loads(said)["input"]["name"]


def test_ls_filters(quick, hello, failing) -> None:
    quick("run", hello, "name=one", "--tag", "colour=blue", "--tag", "size=1")
    quick("run", hello, "name=two", "--tag", "colour=red")
    quick("run", failing, code=1)
    quick("run", hello, "name=three", "--detach")

    def listed(*words: str) -> list[int]:
        return [run["run"] for run in quick("ls", "--json", *words).json]

    assert [4, 3, 2, 1] == listed()
    assert [3] == listed("--state", "failed") == listed("--dead") == listed("--workflow", "fails")
    assert [4, 3] == listed("--state", "failed", "--state", "queued") == listed("--limit", "2")
    assert [1] == listed("--tag", "colour=blue") == listed("--tag", "colour=blue", "--tag", "size=1")
    assert [2] == listed("--search", "two")
    assert [] == listed("--since", "2100-01-01") == listed("--search", "%")
    assert [4, 3, 2, 1] == listed("--since", "1h")
    assert 2 == len(quick("ls", "--limit", "1").stdout.splitlines())
    assert "no runs" in quick("ls", "--state", "paused").stderr


def test_n09_filters_are_never_sql(quick, hello) -> None:
    quick("run", hello, "name=x", "--detach")
    for text in ("' OR 1=1 --", '"; DROP TABLE runs; --', "x' UNION SELECT 1", "%", "_", "*", "NEAR(", "\\"):
        assert [] == quick("ls", "--json", "--workflow", text).json
        assert [] == quick("ls", "--json", "--search", text + "no such").json
        assert [] == quick("ls", "--json", "--tag", f"a={text}").json
        assert [] == quick("ls", "--json", "--tag", f"{text}=b").json
        quick("show", f"{text}@last", code=4)
    assert 1 == len(quick("ls", "--json").json)


def test_references_mean_what_they_say(flowctl, hello, failing) -> None:
    flowctl("run", hello, "name=x")
    flowctl("run", failing, code=1)
    flowctl("run", hello, "name=y")

    def number(reference: str) -> int:
        return flowctl("show", reference, "--json").json["run"]

    assert (3, 2, 3, 2, 2) == tuple(map(number, ("@last", "@failed", "hello@last", "fails@last", "fails@failed")))
    assert [1, 3] == [run["run"] for run in flowctl("wait", "1", "@last", "3", "--json").json]


def test_tables_are_whole_when_piped_and_fit_a_terminal(flowctl, on_terminal, failing) -> None:
    flowctl("run", failing, "--tag", f"t={'v' * 300}", code=1)
    assert 2 == len(flowctl("ls").stdout.splitlines())
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with on_terminal("ls", size=(24, 60), **env) as screen:
            lines = screen.read_to_end().splitlines()
        assert max(map(len, lines)) <= 60
        assert "✗ failed" in "\n".join(lines)
    with on_terminal("ls", size=(24, 80)) as screen:
        lines = screen.read_to_end().splitlines()
    assert 2 == len(lines)
    assert "…" in lines[1]
