"""Payloads: stored as they are, checked bit by bit."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest

from flowctl.core.errors import Damaged, NotFound
from flowctl.core.model import Snapshot, code_of
from flowctl.store import Store
from flowctl.store.payloads import SPILL_BYTES, pack
from tests.store.scene import SNAPSHOT, Scene, error


def json_of(size: int, letter: str = "x") -> str:
    """Return JSON text of that many bytes."""
    return f'"{letter * (size - 2)}"'


def rows(store: Store) -> int:
    return int(store.connection.value("SELECT count(*) FROM payloads"))


@pytest.mark.parametrize(("size", "spilled"), [(200, 0), (SPILL_BYTES, 0), (SPILL_BYTES + 1, 1), (10 << 20, 1)])
def test_k02_a_large_payload_is_stored_once_beside_its_row(scene: Scene, size: int, spilled: int) -> None:
    text = json_of(size)
    claim = scene.held(input=text)
    scene.begin(claim, "fetch", 1, input=text)
    scene.succeed(claim, "fetch", text)
    run = scene.finish(claim, output=text)
    (step,) = scene.store.steps.of_run(run.id)
    assert [text] * 4 == [run.input, run.output, step.input, step.output]
    assert spilled == rows(scene.store)
    assert [] == scene.store.check(full=True)


def test_k02_the_size_that_counts_is_in_bytes(scene: Scene) -> None:
    scene.submit(input=json_of(SPILL_BYTES // 2 + 2, "é"))
    assert 1 == rows(scene.store)


def test_k02_large_errors_are_resolved_too(scene: Scene) -> None:
    claim, text = scene.held(), error("x" * SPILL_BYTES)
    scene.begin(claim, "fetch", 1)
    scene.write(lambda: scene.store.steps.fail_attempt(claim, "fetch", text, scene.now + 5, scene.now))
    scene.write(lambda: scene.store.steps.start_attempt(claim, "fetch", scene.now))
    scene.write(lambda: scene.store.steps.fail(claim, "fetch", text, scene.now))
    run = scene.finish(claim, "failed", error=text)
    (step,) = scene.store.steps.of_run(run.id)
    assert {text} == {run.error, step.error, *(a.error for a in scene.store.steps.attempts(run.id))}
    assert 1 == rows(scene.store)


TEXTS = ['"a\\u0000b"', '"\\ud800"', '"🙂 é \u202e \x7f"', '{"$object":{"$payload":"x"}}', '{"$payload":"short"}', "0"]


@pytest.mark.parametrize("text", TEXTS)
def test_k05_json_text_comes_back_byte_for_byte(scene: Scene, text: str) -> None:
    claim = scene.held(input=text)
    scene.begin(claim, "fetch", 1, input=text)
    scene.succeed(claim, "fetch", text)
    (step,) = scene.store.steps.of_run(claim.run_id)
    assert [text] * 3 == [scene.store.runs.get(claim.run_id).input, step.input, step.output]
    assert [] == scene.store.check(full=True)


def test_k05_captured_text_with_nul_is_not_cut(scene: Scene) -> None:
    claim = scene.held()
    text = "before\0after\x1b[31m\n"
    scene.write(lambda: scene.store.logs.append(claim.run_id, None, None, 5, "stdout", None, text))
    assert [text] == [line.text for line in scene.store.logs.of_run(claim.run_id)]


def test_k04_captured_text_that_is_not_unicode_is_stored_visibly(scene: Scene) -> None:
    claim = scene.held()
    scene.write(lambda: scene.store.logs.append(claim.run_id, None, None, 5, "stdout", None, "caf\udce9"))
    assert ["caf\\udce9"] == [line.text for line in scene.store.logs.of_run(claim.run_id)]


def filled(path: Path) -> dict[str, str]:
    """Create a database of every kind of payload, closed and without free pages, and return text by name."""
    chance = random.Random(7)

    def text(size: int) -> str:
        return '"' + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=size)) + '"'

    texts: dict[str, str] = {}
    with Store.open(path) as store:
        scene = Scene(store)
        for number in (1, 2, 3):
            texts[f"run {number} input"] = text(300)
            claim = scene.held(input=texts[f"run {number} input"])
            for seq in range(1, 6):
                size = 300_000 if (number, seq) == (2, 2) else 200
                name = f"run {number} step fetch#{seq}"
                texts[f"{name} input"], texts[f"{name} output"] = text(size), text(size)
                scene.begin(claim, f"fetch#{seq}", seq, input=texts[f"{name} input"])
                scene.succeed(claim, f"fetch#{seq}", texts[f"{name} output"])
            name = f"run {number} step parse"
            texts[f"{name} attempt 1 error"], texts[f"{name} error"] = error(text(300)), error(text(300))
            scene.begin(claim, "parse", 6)
            first, last = texts[f"{name} attempt 1 error"], texts[f"{name} error"]
            scene.write(lambda: store.steps.fail_attempt(claim, "parse", first, scene.now, scene.now))  # noqa: B023
            scene.write(lambda: store.steps.start_attempt(claim, "parse", scene.now))  # noqa: B023
            scene.write(lambda: store.steps.fail(claim, "parse", last, scene.now))  # noqa: B023
            texts[f"run {number} output"] = text(300)
            scene.finish(claim, output=texts[f"run {number} output"])
    connection = apsw.Connection(str(path))
    connection.execute("VACUUM").fetchall()
    connection.close()
    return texts


def test_j07_300_single_flipped_bits_in_payloads_are_all_named(path: Path) -> None:
    chance = random.Random(42)
    texts = filled(path)
    content = path.read_bytes()
    for _ in range(300):
        name = chance.choice(sorted(texts))
        path.write_bytes(with_a_flipped_bit(content, texts[name].encode(), chance))
        with Store.open(path, read_only=True) as store:
            assert name in store.verify()
    path.write_bytes(content)
    with Store.open(path, read_only=True) as store:
        assert [] == store.verify()


def with_a_flipped_bit(content: bytes, text: bytes, chance: random.Random) -> bytes:
    """Return a file with one bit of a text flipped, in copies left over in the unused part of a page as well."""
    window = text[:0] + b"\xff" * 24  # nowhere in the file
    while window not in content:  # it may be torn between two pages
        start = chance.randrange(len(text) - 24)
        window = text[start : start + 24]
    place, bit = chance.randrange(24), 1 << chance.randrange(8)
    return content.replace(window, window[:place] + bytes([window[place] ^ bit]) + window[place + 1 :])


def test_j07_a_damaged_large_payload_is_refused_when_it_is_read(path: Path) -> None:
    texts = filled(path)
    data = texts["run 2 step fetch#2 output"].encode()
    content = path.read_bytes()
    place = content.find(data[100:140])
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(b"~")
    with Store.open(path) as store:
        with pytest.raises(Damaged):
            store.steps.get(2, "fetch#2")
        assert texts["run 2 step fetch#1 output"] == store.steps.of_run(2, limit=1)[0].output


def test_a_missing_large_payload_is_named(scene: Scene) -> None:
    scene.submit(input=json_of(SPILL_BYTES + 1))
    with scene.store.transaction():
        scene.store.connection.write("DROP TRIGGER payloads_kept")
        scene.store.connection.write("DELETE FROM payloads")
    assert ["run 1 input"] == scene.store.verify()
    with pytest.raises(Damaged):
        scene.store.runs.get(1)


def test_snapshots_come_back_and_share_their_files(scene: Scene) -> None:
    files = {"/flows/digest.py": "import tools\n", "/flows/tools.py": "X = 1\n"}
    edited = {**files, "/flows/digest.py": "import tools\nY = 2\n"}
    for content in (files, edited, edited):
        snapshot = Snapshot(code_of("/flows/digest.py", content), "/flows/digest.py", content)
        scene.write(lambda snapshot=snapshot: scene.store.snapshots.put(snapshot, scene.now))
        assert snapshot == scene.store.snapshots.get(snapshot.code)
    assert 4 == scene.store.connection.value("SELECT count(*) FROM sources")  # the scene's own is one of them
    with pytest.raises(NotFound):
        scene.store.snapshots.get("f" * 64)


def test_damaged_source_is_refused_and_named(scene: Scene) -> None:
    with scene.store.transaction():
        scene.store.connection.write("DROP TRIGGER sources_recorded")
        scene.store.connection.write("UPDATE sources SET text = text || ' '")
    with pytest.raises(Damaged):
        scene.store.snapshots.get(SNAPSHOT.code)
    assert ["schema", "sources"] == [finding.check for finding in scene.store.check()]


def test_a_packed_payload_is_the_same_object_when_it_stays_in_its_row() -> None:
    text = json_of(50)
    assert pack(text)[0] is text
    assert pack(json_of(SPILL_BYTES + 1))[0].startswith('{"$payload":"')


def test_logs_are_read_backwards_in_pages_whose_oldest_chunk_comes_first(scene: Scene) -> None:
    claim = scene.held()
    for number in range(5):
        step = "fetch" if number % 2 else None
        scene.write(
            lambda step=step, number=number: scene.store.logs.append(
                claim.run_id, step, None, 5, "stdout", None, f"{number}"
            )
        )
    logs = scene.store.logs
    last = logs.before(claim.run_id, None, 1 << 62, 2)
    assert ["3", "4"] == [each.text for each in last]
    assert ["1", "2"] == [each.text for each in logs.before(claim.run_id, None, last[0].id, 2)]
    assert ["1", "3"] == [each.text for each in logs.before(claim.run_id, "fetch", 1 << 62, 9)]


def test_variables_that_are_there_already_are_stored_once(scene: Scene) -> None:
    puts = [scene.write(lambda: scene.store.environments.put({"PATH": "/bin"})) for _ in range(2)]
    assert puts[0] == puts[1] == scene.store.environments.find({"PATH": "/bin"})
    assert 1 == scene.store.connection.value("SELECT count(*) FROM environments")
