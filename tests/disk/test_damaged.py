"""J06: looking for damage ends, and finds it, whatever the damage is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flowctl.store import Store
from tests.disk.before import NEWER_SNAPSHOT
from tests.store.scene import Scene

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with two sources, and with so many runs that their table has several pages."""
    made = tmp_path / "flow.db"
    with Store.open(made) as store:
        scene = Scene(store)
        scene.write(lambda: store.snapshots.put(NEWER_SNAPSHOT, scene.now))
        for _ in range(60):
            scene.submit(input='"%s"' % ("x" * 300))
    return made


def _root(path: Path, name: str) -> int:
    """Return where the first page of a table or index begins in the file."""
    with Store.open(path, read_only=True) as store:
        page = store.connection.value("SELECT rootpage FROM sqlite_schema WHERE name = :name", {"name": name})
    return (int(page) - 1) * PAGE


def _altered(path: Path, alter: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    alter(content)
    path.write_bytes(content)


def test_j06_a_table_whose_pages_lead_in_a_circle_is_found_out(path: Path) -> None:
    root = _root(path, "runs")

    def repeat_the_first_leaf_as_the_last(content: bytearray) -> None:
        def leaf(at: int) -> slice:
            begin = (int.from_bytes(content[at : at + 4]) - 1) * PAGE
            return slice(begin, begin + PAGE)

        first_cell = root + int.from_bytes(content[root + 12 : root + 14])
        assert content[root] == 5  # an inner page
        content[leaf(root + 8)] = content[leaf(first_cell)]
        content[:] = content.replace(b"xxx", b"xxy")  # so that every row is to be looked at

    _altered(path, repeat_the_first_leaf_as_the_last)

    with Store.open(path, read_only=True) as store:
        findings = store.check()
    assert any(finding.check == "payloads" and "out of order" in finding.message for finding in findings)


def test_j06_source_that_is_not_found_by_its_hash_is_named(path: Path) -> None:
    root = _root(path, "sqlite_autoindex_sources_1")

    def swap_the_entries(content: bytearray) -> None:
        assert content[root : root + 5] == bytes([0x0A, 0, 0, 0, 2])  # a page with the only two entries of an index
        content[root + 8 : root + 12] = content[root + 10 : root + 12] + content[root + 8 : root + 10]

    _altered(path, swap_the_entries)

    with Store.open(path, read_only=True) as store:
        findings = [finding for finding in store.check() if finding.check == "sources"]
    assert {finding.message for finding in findings} == {"is not found by its hash"}


def test_j06_a_null_where_none_can_be_is_found_out(path: Path) -> None:
    root = _root(path, "sqlite_autoindex_sources_1")

    def make_the_hash_null(content: bytearray) -> None:
        text_of_64 = content.index(b"\x81\x0d", root)  # the type, as a record's header has it
        content[text_of_64 : text_of_64 + 2] = b"\x80\x00"

    _altered(path, make_the_hash_null)

    with Store.open(path, read_only=True) as store:
        findings = [finding for finding in store.check() if finding.check == "sources"]
    assert len(findings) == 1
    assert findings[0].message.startswith("holds what cannot be read")
