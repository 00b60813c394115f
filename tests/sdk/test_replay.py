"""Recorded history against what the code asks now."""

from __future__ import annotations

import pytest

from flowctl.sdk.errors import Mismatch
from flowctl.sdk.replay import Asked, History, Keys, Recorded


def recorded(seq: int, key: str, **changes: object) -> Recorded:
    entry = Recorded(seq, key, "step", "succeeded", "aa", "ss", '"out"')
    return entry._replace(**changes)


def asked(seq: int, key: str, **changes: object) -> Asked:
    return Asked(seq, key, "step", "aa", "ss", "{}")._replace(**changes)


def history(*entries: Recorded) -> History:
    result = History()
    for entry in entries:
        result.add(entry)
    return result


def mismatch(past: History, ask: Asked, replay: str = "pinned") -> tuple[int, str, str, str]:
    with pytest.raises(Mismatch) as caught:
        past.match(ask, replay)
    return caught.value.seq, caught.value.key, caught.value.what, caught.value.expected


def test_keys_count_each_name_for_itself() -> None:
    keys = Keys()
    assert [keys.next(name) for name in ("a", "b", "a", "a", "b")] == [
        (1, "a"), (2, "b"), (3, "a#2"), (4, "a#3"), (5, "b#2"),
    ]  # fmt: skip


def test_a_finished_step_answers() -> None:
    entry = recorded(1, "a")
    assert history(entry).match(asked(1, "a"), "pinned") == entry


def test_i03_a_step_after_the_recorded_ones_is_new() -> None:
    past = history(recorded(1, "a"))
    past.match(asked(1, "a"), "pinned")
    assert past.match(asked(2, "b"), "pinned") is None


def test_i01_a_renamed_step_is_a_mismatch_of_the_key() -> None:
    assert mismatch(history(recorded(2, "fetch")), asked(2, "parse")) == (2, "parse", "key", "fetch")


def test_i01_reordered_steps_are_a_mismatch() -> None:
    past = history(recorded(1, "a"), recorded(2, "b"))
    assert mismatch(past, asked(1, "b")) == (1, "b", "key", "a")


def test_i01_an_inserted_step_is_a_mismatch() -> None:
    past = history(recorded(1, "a"), recorded(2, "b"))
    past.match(asked(1, "a"), "pinned")
    assert mismatch(past, asked(2, "new"))[2:] == ("key", "b")


def test_i01_a_key_that_is_recorded_at_another_place_is_a_mismatch() -> None:
    past = history(recorded(1, "a"), recorded(3, "c"))  # 2 was superseded by a retry
    past.match(asked(1, "a"), "pinned")
    assert mismatch(past, asked(2, "c")) == (2, "c", "key", "")


def test_a_superseded_place_in_the_middle_is_simply_new() -> None:
    past = history(recorded(1, "a"), recorded(3, "c"))
    past.match(asked(1, "a"), "pinned")
    assert past.match(asked(2, "b"), "pinned") is None
    assert past.match(asked(3, "c"), "pinned") is not None


def test_i01_another_kind_under_the_same_key_is_a_mismatch() -> None:
    assert mismatch(history(recorded(1, "a")), asked(1, "a", kind="shell"))[2] == "kind"


@pytest.mark.parametrize("replay", ["pinned", "newest"])
def test_i02_a_changed_input_is_a_mismatch(replay: str) -> None:
    with pytest.raises(Mismatch) as caught:
        history(recorded(1, "a")).match(asked(1, "a", input_hash="bb", input="[1]"), replay)
    assert (caught.value.what, caught.value.asked) == ("input", "[1]")


def test_i02_a_changed_input_is_taken_when_accepted() -> None:
    assert history(recorded(1, "a")).match(asked(1, "a", input_hash="bb"), "accept") is not None


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_i02_a_changed_input_of_an_unfinished_step_is_never_taken(state: str) -> None:
    assert mismatch(history(recorded(1, "a", state=state)), asked(1, "a", input_hash="bb"), "accept")[2] == "input"


def test_i09_changed_step_source_matters_to_newest_code_only() -> None:
    ask = asked(1, "a", source_hash="tt")
    assert mismatch(history(recorded(1, "a")), ask, "newest")[2] == "source"
    assert history(recorded(1, "a")).match(ask, "pinned") is not None
    assert history(recorded(1, "a")).match(ask, "accept") is not None


def test_i09_source_that_is_unknown_on_either_side_does_not_matter() -> None:
    assert history(recorded(1, "a", source_hash=None)).match(asked(1, "a"), "newest") is not None
    assert history(recorded(1, "a")).match(asked(1, "a", source_hash=None), "newest") is not None


def test_i09_an_unfinished_step_may_have_new_source() -> None:
    entry = recorded(1, "a", state="interrupted")
    assert history(entry).match(asked(1, "a", source_hash="tt"), "newest") == entry


def test_what_has_answered_is_let_go() -> None:
    past = history(*(recorded(seq, f"s{seq}") for seq in range(1, 101)))
    for seq in range(1, 101):
        past.match(asked(seq, f"s{seq}"), "pinned")
    assert not past._by_seq
    assert not past._seq_of
