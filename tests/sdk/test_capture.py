"""The limits and the order of captured text, without a process."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowctl.sdk.capture import HeadTail, Sink


def limited(pieces: list[str], head: int, tail: int) -> str:
    limit = HeadTail(head, tail)
    return "".join([limit.feed(piece) for piece in pieces]) + limit.rest()


@given(st.lists(st.text("ab\n", max_size=30), max_size=30), st.integers(0, 40), st.integers(1, 40))
def test_beginning_and_end_are_kept_and_the_rest_is_counted(pieces: list[str], head: int, tail: int) -> None:
    text = "".join(pieces)
    kept = limited(pieces, head, tail)
    if len(text) <= head + tail:
        assert kept == text
    else:
        left_out = len(text) - head - tail
        assert kept == f"{text[:head]}\n… {left_out} characters left out …\n{text[-tail:]}"


def test_l08_a_flood_of_small_pieces_costs_no_memory() -> None:
    import tracemalloc

    limit = HeadTail(1000, 100_000)
    tracemalloc.start()
    for _ in range(300_000):
        limit.feed("é\n")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_500_000
    assert limit.rest().endswith("é\n" * 50_000)


class Sunk:
    """A sink and what it passed on."""

    def __init__(self) -> None:
        self.passed: list[tuple[str, str]] = []
        self.sink = Sink(self._take, "step", 2)

    def _take(self, fields: dict[str, Any], text: str) -> None:
        assert (fields["step"], fields["attempt"]) == ("step", 2)
        self.passed.append((fields["stream"], text))


def test_lines_are_passed_on_whole() -> None:
    sunk = Sunk()
    sunk.sink.write("stdout", "one\ntw")
    sunk.sink.flush()
    sunk.sink.write("stdout", "o\nthree")
    sunk.sink.flush()
    assert sunk.passed == [("stdout", "one\n"), ("stdout", "two\n")]
    sunk.sink.close()
    assert sunk.passed[-1] == ("stdout", "three")


def test_whole_lines_keep_their_order_between_the_streams() -> None:
    sunk = Sunk()
    for stream, text in (("stdout", "1\n"), ("stdout", "2\n"), ("stderr", "3\n"), ("stdout", "4\n")):
        sunk.sink.write(stream, text)
    sunk.sink.log("INFO", "5")
    sunk.sink.close()
    assert sunk.passed == [("stdout", "1\n2\n"), ("stderr", "3\n"), ("stdout", "4\n"), ("log", "5")]


def test_k12_a_line_without_end_is_passed_on_in_pieces() -> None:
    sunk = Sunk()
    for _ in range(100):
        sunk.sink.write("stdout", "x" * 1000)
    assert len(sunk.passed) == 1
    assert 65_000 < len(sunk.passed[0][1]) < 70_000


def test_nothing_is_passed_on_for_an_empty_write() -> None:
    sunk = Sunk()
    sunk.sink.write("stdout", "")
    sunk.sink.flush(partial=True)
    sunk.sink.close()
    assert sunk.passed == []
