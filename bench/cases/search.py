"""The full-text index: what it costs to bring it up to date, how large it is, and how quickly a word is found in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from zlib import crc32

from bench import large_file
from bench.measuring import clock
from bench.model import Case, Figures, Goal
from flowctl.core.needle import Needle, regex_needle, text_needle
from flowctl.engine import indexing
from flowctl.engine.searching import hits
from flowctl.store import Store
from flowctl.store.search import Wanted

WORDS = 5_000
NOW = 1_800_000_000_000
NEEDLES = 20
HITS = 50  # as the command shows

CASE = Case(
    name="search",
    about="steps with 200 bytes in and out: the index; grep for a phrase of one, a word of one in 100, a regex",
    figures={"index": "ms/1000 steps", "bytes": "bytes/step", "grep": "ms", "word": "ms", "regex": "ms"},
    contenders=("flowctl",),
    size=1_000_000,
    quick=2_000,
    goals=(Goal("bytes", 300, at_most=True), Goal("grep", 300, at_most=True), Goal("word", 300, at_most=True)),
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
        chosen = phrases[:: len(phrases) // NEEDLES]
        grep = _time_of(store, [text_needle(phrase) for phrase in chosen])
        word = _time_of(store, [text_needle(phrase.split()[0]) for phrase in chosen])
        regex = _time_of(store, [regex_needle(re.escape(phrases[0]))])
    return {"index": took * 1_000_000 / size, "bytes": grown / size, "grep": grep, "word": word, "regex": regex}


def _time_of(store: Store, needles: Sequence[Needle]) -> float:
    """Return the milliseconds until the newest hits of a needle are there."""
    began = clock()
    for needle in needles:
        if not list(islice(hits(store, needle, Wanted("default"), indexed=True), HITS)):
            raise RuntimeError(f"{needle.text or 'the expression'} was not found")
    return (clock() - began) * 1000 / len(needles)


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
    words = _text()
    for number in range(size):
        run, seq = divmod(number, large_file.STEPS_PER_RUN)
        phrase, given, output = (" ".join(islice(words, count)) for count in (4, 21, 28))
        if number % (size // 100) == 0:
            phrases.append(phrase)
        texts = {"input": f'{{"id":{number},"name":"{phrase}","text":"{given}"}}', "output": f'{{"text":"{output}"}}'}
        sums = {f"{name}_crc": crc32(text.encode()) for name, text in texts.items()}
        yield {"run": run + 1, "seq": seq + 1, "key": f"fetch#{seq + 1}", "at": NOW, **texts, **sums}


def _text() -> Iterator[str]:
    """Yield words in an order without pattern, the same in each measurement."""
    words = [_word(number) for number in range(WORDS)]
    number = 1
    while True:
        number = (number * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        yield words[(number >> 33) % WORDS]


def _word(number: int) -> str:
    """Return one of three to nine letters."""
    letters = sha256(b"%d" % number).hexdigest().translate(_LETTERS)
    return letters[: 3 + ord(letters[-1]) % 7]
