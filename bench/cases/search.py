"""The full-text index: what it costs to bring it up to date, how large it is, and how quickly a word is found in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from zlib import crc32

from bench import large_file
from bench.measuring import clock
from bench.model import Case, Figures, Goal
from flowctl.core.needle import text_needle
from flowctl.engine import indexing
from flowctl.engine.searching import hits
from flowctl.store import Store
from flowctl.store.search import Wanted

WORDS = 5_000
NOW = 1_800_000_000_000
NEEDLES = 20

CASE = Case(
    name="search",
    about="steps with 200 bytes of input and 200 of output: the index, and grep for a phrase that one step has",
    figures={"index": "ms/1000 steps", "bytes": "bytes/step", "grep": "ms"},
    contenders=("flowctl",),
    size=50_000,
    quick=2_000,
    goals=(Goal("bytes", 300, at_most=True), Goal("grep", 300, at_most=True)),
)
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_STEP = """
INSERT INTO steps (
    run_id, seq, key, name, kind, state, attempt, first_attempt, input, input_crc, input_hash, output, output_crc,
    begun_at, started_at, finished_at, on_crash)
VALUES (:run, :seq, :key, 'fetch', 'step', 'succeeded', 1, 1, :input, :input_crc, zeroblob(16), :output, :output_crc,
    :at, :at, :at, 'rerun')
"""


def measure(_contender: str, size: int, folder: Path) -> Figures:
    """Return the cost and size of the index of a file with so many steps, and the time of a search."""
    path = folder / "search.db"
    with Store.open(path) as store:
        phrases = _fill(store, size)
        before = _size(store)
        began = clock()
        for _ in indexing.rebuild(store, NOW):
            pass
        took = clock() - began
        grown = _size(store) - before
        began = clock()
        for phrase in phrases[:: len(phrases) // NEEDLES]:
            found = list(islice(hits(store, text_needle(phrase), Wanted("default"), indexed=True), 50))
            if not found:
                raise RuntimeError(f"{phrase} was not found")
        grep = (clock() - began) / NEEDLES
    return {"index": took * 1_000_000 / size, "bytes": grown / size, "grep": grep * 1000}


def _size(store: Store) -> int:
    store.connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return os.path.getsize(store.path)


def _fill(store: Store, size: int) -> list[str]:
    """Write runs of ten steps, and return a phrase of some of them."""
    phrases: list[str] = []
    with store.transaction():
        large_file.write_runs(store, size // large_file.STEPS_PER_RUN)
        for step in _steps(size, phrases):
            store.connection.write(_STEP, step)
    return phrases


def _steps(size: int, phrases: list[str]) -> Iterator[dict[str, object]]:
    words = _words()
    for number in range(size):
        run, seq = divmod(number, large_file.STEPS_PER_RUN)
        phrase, given, output = (" ".join(islice(words, count)) for count in (4, 21, 28))
        if number % (size // 100) == 0:
            phrases.append(phrase)
        texts = {"input": f'{{"id":{number},"name":"{phrase}","text":"{given}"}}', "output": f'{{"text":"{output}"}}'}
        sums = {f"{name}_crc": crc32(text.encode()) for name, text in texts.items()}
        yield {"run": run + 1, "seq": seq + 1, "key": f"fetch#{seq + 1}", "at": NOW, **texts, **sums}


def _words() -> Iterator[str]:
    """Yield words of three to nine letters, the same in each measurement."""
    number = 1
    while True:
        number = (number * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        letters = sha256(b"%d" % ((number >> 33) % WORDS)).hexdigest().translate(_LETTERS)
        yield letters[: 3 + ord(letters[-1]) % 7]
