"""`flowctl grep`: where a text stands, said so that the next command is plain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowctl.store import Store
from tests.conftest import Outcome
from tests.store.scene import Scene, error


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Store.open(tmp_path / "flow.db") as store:
        scene = Scene(store)
        for name in ("Ann", "Ben"):
            claim = scene.held(workflow="order", input=f'{{"items":[{{"name":"{name} Lee"}}]}}')
            scene.begin(claim, "bill", 1, input=f'{{"to":"{name}"}}')
            scene.fail(claim, "bill", f"connection \x1b[{'31m' if name == 'Ann' else '2J'}refused")
            scene.finish(claim, "failed", error=error(f"no bill for {name}"))
            scene.now += 1_000
        yield scene


@pytest.fixture
def grep(quick: Callable[..., Outcome], scene: Scene) -> Callable[..., Outcome]:
    return lambda *words, code=0: quick("grep", *words, "--db", scene.store.path, code=code)


def test_each_place_has_run_step_part_path_and_excerpt(grep: Callable[..., Outcome]) -> None:
    assert [
        {
            "run": 1,
            "workflow": "order",
            "state": "failed",
            "step": None,
            "attempt": None,
            "part": "input",
            "path": "$.items[0].name",
            "excerpt": "Ann Lee",
            "at": "1970-01-01T00:16:40.000Z",
            "forks": [],
        }
    ] == grep("ann lee", "--json").json
    lines = grep("Ann").stdout.splitlines()
    assert lines[0].split() == ["RUN", "WORKFLOW", "STEP", "IN", "TEXT"]
    assert {"1  order           input $.items[0].name  Ann Lee", "1  order     bill  input $.to             Ann"} <= {
        line.strip() for line in lines
    }


def test_the_newest_come_first_and_no_more_than_are_wanted(grep: Callable[..., Outcome]) -> None:
    outcome = grep("lee", "--limit", "1")
    assert "Ben Lee" in outcome.stdout
    assert "Ann Lee" not in outcome.stdout
    assert "the newest 1; more with --limit" in outcome.stderr


def test_a_run_a_workflow_a_state_and_a_time_restrict_it(grep: Callable[..., Outcome]) -> None:
    assert [2] == [hit["run"] for hit in grep("lee", "--run", "2", "--json").json]
    assert [] == grep("lee", "--workflow", "other", "--json").json
    assert [] == grep("lee", "--state", "succeeded", "--json").json
    assert [2] == [hit["run"] for hit in grep("lee", "--since", "1970-01-01T00:16:41Z", "--json").json]
    assert [] == grep("lee", "--namespace", "other", "--json").json


def test_what_forks_share_is_found_once_with_the_run_that_recorded_it_and_names_them(
    quick: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = tmp_path / "report.py"
    path.write_text(
        "from flowctl import step, workflow\n\n"
        "@step\ndef fetch() -> str:\n    print('a zebra')\n    return 'zebra'\n\n"
        "@step\ndef save(page: str) -> int:\n    return len(page)\n\n"
        "@workflow\ndef report() -> int:\n    return save(fetch())\n"
    )
    quick("run", path)
    quick("fork", 1, "--from", "save")
    quick("fork", 2, "--from", "save")

    def found(*words: str) -> list[tuple[int, str, str, list[int]]]:
        hits = quick("grep", "zebra", *words, "--json").json
        return sorted((hit["run"], hit["step"], hit["part"], hit["forks"]) for hit in hits)

    fetched = (1, "fetch", "output", [2, 3])
    saved = [(number, "save", "input", []) for number in (1, 2, 3)]
    assert [fetched, (1, "fetch", "stdout", []), *saved] == found()
    assert [fetched, (3, "save", "input", [])] == found("--run", "3")
    assert "1, 2, 3" in quick("grep", "zebra").stdout


def test_a_regular_expression_is_found_anywhere(grep: Callable[..., Outcome]) -> None:
    assert [1] == [hit["run"] for hit in grep("--regex", "nn L.e$", "--json").json]
    assert "is not a regular expression" in grep("--regex", "(", code=2).stderr
    assert "nothing to look for" in grep("--regex", "", code=2).stderr


def test_an_expression_that_takes_too_long_is_given_up(scene: Scene, grep: Callable[..., Outcome]) -> None:
    scene.submit(input=f'{{"name":"{"a" * 60}!"}}')
    assert "within 200ms" in grep("--regex", "(a+)+$", "--timeout", "200ms", code=7).stderr
    assert "--timeout" in grep("ann", "--timeout", "soon", code=2).stderr


def test_nothing_found_is_said_and_is_no_failure(grep: Callable[..., Outcome], quick: Callable[..., Outcome]) -> None:
    assert "nothing found" in grep("zebra").stderr
    assert "nothing found" in quick("grep", "x", "--db", "none.db").stderr
    assert "nothing to look for" in grep("", code=2).stderr


def test_n11_what_was_found_is_shown_and_not_obeyed(grep: Callable[..., Outcome]) -> None:
    for words in ([], ["--json"], ["--color", "always"]):
        assert "\x1b[31m" not in grep("refused", *words).stdout.replace("\x1b[31mfailed", "")
    assert "connection refused" == grep("refused", "--json").json[0]["excerpt"]
    assert "connection \\x1b[2Jrefused" in grep("2jrefused").stdout


def test_grep_brings_the_index_up_to_date_unless_it_is_switched_off(
    grep: Callable[..., Outcome], scene: Scene, tmp_path: Path
) -> None:
    config = tmp_path / ".xdg" / "config" / "flowctl" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("search = false\n")
    assert 2 == len(grep("lee", "--json").json)
    assert scene.store.search.stale()
    config.unlink()
    assert 2 == len(grep("lee", "--json").json)
    assert not scene.store.search.stale()


def test_reindex_makes_the_index_anew_and_empties_it_when_it_is_switched_off(
    quick: Callable[..., Outcome], scene: Scene, tmp_path: Path
) -> None:
    assert 4 == quick("db", "reindex", "--db", scene.store.path, "--json").json["rows"]
    config = tmp_path / ".xdg" / "config" / "flowctl" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("search = false\n")
    assert "switched off" in quick("db", "reindex", "--db", scene.store.path).stdout
    assert 0 == scene.store.search.count()
    config.write_text("search = 1\n")
    assert "search is true or false" in quick("grep", "x", "--db", scene.store.path, code=2).stderr
