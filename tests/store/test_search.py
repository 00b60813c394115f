"""The full-text index: complete at any moment, whatever it has come to, and never in the way."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import Claim
from flowctl.core.needle import regex_needle, text_needle
from flowctl.engine import indexing
from flowctl.engine.retention import Wanted as Going
from flowctl.engine.retention import prune
from flowctl.engine.searching import hits
from flowctl.store import Store
from flowctl.store.search import Wanted
from tests.store.scene import SNAPSHOT, Scene, error, new_step

ALL = Wanted("default")


def places(scene: Scene, text: str, *, regex: bool = False, indexed: bool = True, wanted: Wanted = ALL) -> list[str]:
    """Return run, step, part and path of every place, as words."""
    needle = regex_needle(text) if regex else text_needle(text)
    found = list(hits(scene.store, needle, wanted, indexed=indexed))
    assert len(found) == len(set(found))
    parts = [(hit.run, hit.step, hit.part, hit.path) for hit in found]
    return sorted(" ".join(str(part) for part in each if part is not None) for each in parts)


def index(scene: Scene) -> None:
    while scene.store.search.stale():
        scene.write(lambda: scene.store.search.index(2, scene.now))
    assert [] == scene.store.check()


def spoken(scene: Scene) -> Claim:
    """Record a run that has the word `amber` in every place that there is."""
    claim = scene.held(input='{"to":{"name":"Amber Lane"}}')
    scene.begin(claim, "fetch", 1, input='["x",{"amber":1}]')
    scene.write(lambda: scene.store.steps.fail_attempt(claim, "fetch", error("first amber"), scene.now, scene.now))
    scene.write(lambda: scene.store.steps.start_attempt(claim, "fetch", scene.now))
    scene.write(lambda: scene.store.logs.append(claim.run_id, "fetch", 2, 5, "stdout", None, "a line\nof AMBER\n"))
    scene.succeed(claim, "fetch", '{"a":[{"b":"say \\"amber\\"\\nand amber"}]}')
    scene.begin(claim, "parse", 2)
    scene.fail(claim, "parse", "no amber left")
    scene.finish(claim, "failed", error=error("amber"), failed_steps=["parse"])
    return claim


EVERYWHERE = sorted(
    [
        "1 input $.to.name",
        "1 error $.message",
        "1 fetch input $[1].amber",
        "1 fetch output $.a[0].b",
        "1 fetch error $.message",
        "1 fetch stdout",
        "1 parse error $.message",
    ]
)


@pytest.mark.parametrize("state", ["never", "now", "before the steps", "off"])
def test_a_text_is_found_wherever_it_stands_whatever_the_index_has_come_to(scene: Scene, state: str) -> None:
    if state == "before the steps":
        scene.held(input='{"x":"something else"}')
        index(scene)
        found = {place.replace("1 ", "2 ", 1) for place in EVERYWHERE}
    else:
        found = set(EVERYWHERE)
    spoken(scene)
    if state == "now":
        index(scene)
    assert found == set(places(scene, "amber", indexed=state != "off"))


def test_what_ends_after_the_index_has_seen_it_is_found(scene: Scene) -> None:
    claim = scene.held(input='{"n":"birch"}')
    scene.begin(claim, "fetch", 1, input='"birch"')
    index(scene)
    assert ["1 fetch input $", "1 input $.n"] == places(scene, "birch")
    scene.succeed(claim, "fetch", '"birch bark"')
    scene.finish(claim, output='"birch wood"')
    expected = ["1 fetch input $", "1 fetch output $", "1 input $.n", "1 output $"]
    assert expected == places(scene, "birch")
    index(scene)
    assert expected == places(scene, "birch")
    index(scene)
    assert [] == scene.store.connection.rows("SELECT * FROM unindexed")


def test_a_retried_run_is_found_with_what_it_says_now(scene: Scene) -> None:
    claim = scene.held()
    scene.finish(claim, "failed", error=error("cedar"))
    index(scene)
    scene.write(lambda: scene.store.runs.retry(1, scene.now, replay="newest"))
    scene.finish(scene.claim(1), output='"willow"')
    index(scene)
    assert [] == places(scene, "cedar")
    assert ["1 output $"] == places(scene, "willow")


def test_a_step_that_is_set_aside_before_it_has_ended_is_indexed_as_it_is(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1, input='"alder"')
    scene.release(claim, "blocked", reason="asked")
    index(scene)
    scene.write(lambda: scene.store.runs.retry(claim.run_id, scene.now, replay="newest", from_step="fetch"))
    scene.finish(scene.claim(claim.run_id))
    index(scene)
    assert [] == scene.store.connection.rows("SELECT * FROM unindexed")


@pytest.mark.parametrize("indexed", [True, False])
def test_a_fork_is_searched_with_the_steps_that_it_shares_and_no_others(scene: Scene, indexed: bool) -> None:
    claim = scene.held()
    for seq, key in enumerate(("fetch", "parse", "send"), 1):
        scene.begin(claim, key, seq, input='"hazel"')
        scene.succeed(claim, key)
    scene.finish(claim)
    fork = scene.submit(forked_from=claim.run_id, forked_step="parse")
    scene.write(lambda: scene.store.steps.share(claim.run_id, fork, 2))
    index(scene)
    whole = ["1 fetch input $", "1 parse input $", "1 send input $"]
    assert whole == places(scene, "hazel", indexed=indexed)
    assert whole == places(scene, "hazel", indexed=indexed, wanted=ALL._replace(run=claim.run_id))
    assert ["1 fetch input $"] == places(scene, "hazel", indexed=indexed, wanted=ALL._replace(run=fork))


def test_what_is_found_in_a_step_names_the_forks_that_share_it_still(scene: Scene) -> None:
    claim = scene.held()
    for seq, key in enumerate(("fetch", "parse"), 1):
        scene.begin(claim, key, seq)
        scene.succeed(claim, key, f'"hazel {key}"')
    scene.finish(claim)
    fork = scene.submit(forked_from=claim.run_id, forked_step="parse")
    scene.write(lambda: scene.store.steps.share(claim.run_id, fork, 3))

    def forks() -> dict[str | None, tuple[int, ...]]:
        found = hits(scene.store, text_needle("hazel"), ALL, indexed=False)
        return {hit.step: hit.forks for hit in found if hit.run == claim.run_id}

    assert {"fetch": (fork,), "parse": (fork,)} == forks()
    scene.finish(scene.claim(fork), "failed")
    scene.write(lambda: scene.store.runs.retry(fork, scene.now, replay="newest", from_step="parse"))
    assert {"fetch": (fork,), "parse": ()} == forks()


def test_a_payload_that_is_kept_apart_is_searched_too(scene: Scene) -> None:
    claim = scene.held()
    scene.begin(claim, "fetch", 1)
    scene.succeed(claim, "fetch", json.dumps({"long": "x" * 300_000, "end": "dogwood"}))
    scene.finish(claim, output=json.dumps(["y" * 300_000, "dogwood"]))
    index(scene)
    assert ["1 fetch output $.end", "1 output $[1]"] == places(scene, "dogwood")


def test_a_text_is_found_where_a_word_begins_with_it_and_a_regular_expression_anywhere(scene: Scene) -> None:
    for name in ("Elderberry", "the elder-tree", "is_elder", "fielder", "ELDERS"):
        scene.submit(input=json.dumps({"n": name}))
    index(scene)
    expected = [f"{number} input $.n" for number in (1, 2, 3, 5)]
    assert expected == places(scene, "elder") == places(scene, "elder", indexed=False)
    assert ["1 input $.n", "2 input $.n", "3 input $.n", "4 input $.n"] == places(scene, r"(?i)elder(?!s)", regex=True)
    assert ["4 input $.n"] == places(scene, "^field", regex=True)
    assert ["4 input $.n"] == places(scene, "fie", regex=True)


def test_what_json_writes_otherwise_is_found_as_a_person_writes_it(scene: Scene) -> None:
    texts = [
        'say "hi"',
        "line one\nline two",
        "C:\\new\\table",
        "caf\u00e9 \U0001f600",
        "tab\there",
        "\ud800 lone caf\u00e9",
    ]
    for text in texts:
        payload = json.dumps({"n": text}, ensure_ascii="\ud800" in text, separators=(",", ":"))
        scene.submit(input=payload)
    index(scene)
    for needle, runs in (
        ('say "hi"', [1]),
        ('"hi"', [1]),
        ("line two", [2]),
        ("C:\\new", [3]),
        ("new\\table", [3]),
        ("caf\u00e9", [4, 6]),
        ("here", [5]),
        ('{"n":"say', [1]),
    ):
        assert runs == [int(place.split()[0]) for place in places(scene, needle)], needle
        assert runs == [int(place.split()[0]) for place in places(scene, needle, indexed=False)], needle


def test_a_number_a_key_and_a_truth_are_found(scene: Scene) -> None:
    scene.submit(input='{"total":12.5,"paid":true,"a b":null}')
    index(scene)
    assert ["1 input $.total"] == places(scene, "12.5")
    assert ["1 input $.paid"] == places(scene, "true")
    assert ['1 input $["a b"]'] == places(scene, "a b")
    assert ["1 input $"] == places(scene, '"paid":true')


def test_only_the_runs_that_are_wanted_are_searched(scene: Scene) -> None:
    scene.submit(input='"fir"', workflow="a")
    scene.submit(input='"fir"', workflow="b", namespace="other")
    scene.now += 1_000
    scene.finish(scene.held(input='"fir"', workflow="c"), "failed")
    index(scene)
    assert ["1 input $", "3 input $"] == places(scene, "fir")
    assert ["2 input $"] == places(scene, "fir", wanted=Wanted("other"))
    assert ["1 input $"] == places(scene, "fir", wanted=ALL._replace(workflow="a"))
    assert ["3 input $"] == places(scene, "fir", wanted=ALL._replace(states=("failed", "cancelled")))
    assert ["3 input $"] == places(scene, "fir", wanted=ALL._replace(since=scene.now))
    assert ["3 input $"] == places(scene, "fir", wanted=ALL._replace(run=3))


def test_what_is_pruned_leaves_the_index_and_numbers_that_are_given_again_are_indexed_again(scene: Scene) -> None:
    for word in ("gorse", "hazel"):
        claim = scene.held(input=f'"{word}"')
        scene.begin(claim, "fetch", 1, input=f'"{word}"')
        scene.succeed(claim, "fetch")
        scene.write(lambda claim=claim: scene.store.logs.append(claim.run_id, None, None, 5, "stdout", None, "said"))
        scene.finish(claim, "failed")
    index(scene)
    scene.now += 10_000
    for _ in prune(scene.store, scene.now, Going(keep_ms=0, keep_runs=0), SYSTEM_CLOCK):
        pass
    assert [] == scene.store.check()
    assert 0 == scene.store.search.count()
    scene.write(lambda: scene.store.snapshots.put(SNAPSHOT, scene.now))
    claim = scene.held(input='"ivy"')
    scene.begin(claim, "fetch", 1, input='"ivy"')
    scene.succeed(claim, "fetch", '"ivy"')
    assert ["3 fetch input $", "3 fetch output $", "3 input $"] == places(scene, "ivy")
    index(scene)
    assert ["3 fetch input $", "3 fetch output $", "3 input $"] == places(scene, "ivy")


def test_the_index_can_be_made_anew_and_emptied(scene: Scene) -> None:
    spoken(scene)
    index(scene)
    count = scene.store.search.count()
    for _ in indexing.rebuild(scene.store, scene.now):
        pass
    assert count == scene.store.search.count() > 0
    assert EVERYWHERE == places(scene, "amber")
    indexing.clear(scene.store, scene.now)
    assert 0 == scene.store.search.count()
    assert EVERYWHERE == places(scene, "amber")
    assert [] == scene.store.check(full=True)


def test_a_family_that_is_pruned_with_a_step_that_has_not_ended_leaves_nothing(scene: Scene) -> None:
    scene.begin(scene.held(), "left", 1)
    index(scene)
    scene.write(lambda: scene.store.search.forget("step", [1]))
    assert [] == scene.store.connection.rows("SELECT * FROM unindexed")


def test_the_daemon_indexes_in_small_batches_and_then_rests(scene: Scene) -> None:
    duty = indexing.Indexing(scene.store)
    for number in range(indexing.ROWS + 1):
        scene.submit(input=f'"{number}"')
    assert scene.now + indexing.PAUSE_MS == duty.tick(scene.now)
    assert scene.now + indexing.PAUSE_MS == duty.tick(scene.now + 1)
    assert scene.store.search.stale()
    scene.now += indexing.PAUSE_MS
    assert scene.now + indexing.EVERY_MS == duty.tick(scene.now)
    assert not scene.store.search.stale()
    writes = scene.store.writes
    scene.now += indexing.EVERY_MS
    duty.tick(scene.now)
    assert writes == scene.store.writes
    scene.submit()
    duty.tick(scene.now - 86_400_000)
    assert not scene.store.search.stale()


def test_invariant_26_a_row_that_the_index_lacks_and_one_that_is_gone_are_reported(scene: Scene) -> None:
    spoken(scene)
    index(scene)
    for sql in (
        "DELETE FROM search WHERE rowid = 1",
        "DELETE FROM search WHERE rowid = (1 << 50) + 1",
        "DELETE FROM search WHERE rowid = (2 << 50) + 1",
        "INSERT INTO search (rowid, text) VALUES (99, 'x')",
        "INSERT INTO search (rowid, text) VALUES ((1 << 50) + 99, 'x')",
    ):
        scene.write(lambda sql=sql: scene.store.connection.write(sql))
    found = [f"{each.subject}: {each.message}" for each in scene.store.check()]
    expected = [
        "run 1: is not in the search index",
        "run 1 step fetch: is not in the search index",
        "run 1 step fetch: has a log that is not in the search index",
        f"{scene.store.path}: the search index has row 99 of runs, which is not there",
        f"{scene.store.path}: the search index has row 99 of steps, which is not there",
    ]
    assert expected == found


def test_whatever_is_recorded_in_between_every_search_is_the_same_with_the_index_and_without(scene: Scene) -> None:
    dice = random.Random(7)
    words = ["ash", "bay", "elm", "fig", "yew"]
    claims: list[Claim] = []
    for turn in range(150):
        word = dice.choice(words)
        move = dice.randrange(5)
        if move == 0 or not claims:
            claims.append(scene.held(input=f'"{word}"'))
            scene.begin(claims[-1], "a", 1, input=f'["{word}"]')
        elif move == 1:
            claim = claims.pop(dice.randrange(len(claims)))
            scene.succeed(claim, "a", f'{{"{word}":"{word}"}}')
            scene.finish(claim, output=f'"{word}"')
        elif move == 2:
            scene.write(lambda word=word: scene.store.logs.append(claims[0].run_id, "a", 1, turn, "log", None, word))  # noqa: B023
        elif move == 3:
            scene.write(lambda: scene.store.search.index(dice.randrange(1, 4), scene.now))
        else:
            assert places(scene, word, indexed=False) == places(scene, word)
    assert [] == scene.store.check()


JUNK = """foo" | AND | a-b | col:x | NEAR( | * | ^ | "; drop table runs | text : x | a OR NOT | {x} | ' | " | + | a*"""
JUNK_TEXTS = [*JUNK.split(" | "), "\x00"]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Store.open(tmp_path_factory.mktemp("search") / "flow.db") as store:
        scene = Scene(store)
        for text in [*JUNK_TEXTS, "plain"]:
            claim = scene.held(input=json.dumps(text))
            scene.write(lambda claim=claim: store.steps.begin(claim, new_step("a", 1), scene.now))
        index(scene)
        yield scene


@pytest.mark.parametrize("junk", JUNK_TEXTS)
def test_m02_junk_is_looked_for_as_it_is(grown: Scene, junk: str) -> None:
    assert f"{JUNK_TEXTS.index(junk) + 1} input $" in places(grown, junk)
    assert places(grown, junk, indexed=False) == places(grown, junk)


@pytest.mark.parametrize("part", range(10))  # ten thousand at once would take a slow machine too long for one test
@given(
    text=st.text(min_size=1).filter(lambda text: text.isprintable() or text.encode(errors="ignore").decode() == text)
)
@example(text="\U0001f600")
@example(text="e\u0301")
@settings(max_examples=1_000)
def test_m02_no_text_is_a_query_that_fails(grown: Scene, part: int, text: str) -> None:
    list(grown.store.search.texts(grown.store.search.query(text), ALL))


@given(st.text(min_size=1, max_size=20))
@settings(max_examples=300)
def test_m02_a_text_is_found_in_itself(text: str) -> None:
    payload = json.dumps({"k": [text]})
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert ["$.k[0]"] == [place.path for place in text_needle(text).in_json(payload)][-1:]


def test_a_search_reads_and_writes_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "flow.db") as store:
        scene = Scene(store)
        spoken(scene)
        index(scene)
    with Store.open(tmp_path / "flow.db", create=False, read_only=True) as store:
        assert 7 == len(list(hits(store, text_needle("amber"), ALL, indexed=True)))
        assert ["1"] == [str(hit.run) for hit in hits(store, text_needle("first"), ALL, indexed=True)]
