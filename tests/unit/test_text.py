"""Text from runs cannot command a terminal."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowctl.core.text import plural, quoted, safe, safe_json, safe_line, shorten

ANY_TEXT = st.text(st.characters(exclude_categories=()))
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("\x1b]0;title\x1b\\", "\\x1b]0;title\\x1b\\"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J\x9d", r"\x9b2J\x9d"),
        ("\x90q", r"\x90q"),
        ("abc\u202edef", r"abc\u202edef"),
        ("nul\0", r"nul\x00"),
        ("old\rnew", r"old\x0dnew"),
        ("\x7f", r"\x7f"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("one\r\ntwo", "one\ntwo"),
        ("grüße 日本 👩‍🚀 [bold]", "grüße 日本 👩‍🚀 [bold]"),
    ],
)
def test_n11_what_a_terminal_obeys_becomes_visible(text: str, expected: str) -> None:
    assert expected == safe(text)


@given(ANY_TEXT)
def test_n11_safe_text_holds_nothing_a_terminal_obeys_and_stays_as_it_is(text: str) -> None:
    once = safe(text)
    assert not OBEYED.search(once)
    assert not [char for char in once if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t"]
    assert once == safe(once)


@given(ANY_TEXT)
def test_n11_a_safe_line_is_one_line(text: str) -> None:
    line = safe_line(text)
    assert len(line.splitlines()) <= 1
    assert "\t" not in line
    assert line == safe_line(line)


@given(st.recursive(ANY_TEXT | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
def test_m06_safe_json_has_the_same_value_and_nothing_a_terminal_obeys(value: object) -> None:
    text = safe_json(json.dumps(value, ensure_ascii=False))
    assert value == json.loads(text)
    assert not OBEYED.search(text)


def test_a_long_text_is_shortened_with_an_ellipsis() -> None:
    assert "abc" == shorten("abc", 3)
    assert "ab…" == shorten("abcd", 3)


def test_what_a_person_wrote_is_quoted_in_one_safe_and_short_line() -> None:
    assert "'a\\x1b[31m\\nb'" == quoted("a\x1b[31m\nb")
    assert 60 == len(quoted("x" * 500))


def test_of_one_thing_the_noun_is_singular() -> None:
    assert ["0 lines", "1 line", "2,000 lines"] == [plural(number, "line") for number in (0, 1, 2_000)]
