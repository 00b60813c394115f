"""Texts and JSON values that nobody would send in good faith."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

SAMPLES = (
    "", " ", "-", "--", "---", "=", ":=", "@", "@@", "@last", "@failed", "digest@last", "x@first", "@last@last",
    "0", "-0", "+1", "1", "1e3", "0x10", "1_000", "١٢", "²", "9" * 18, "9" * 19, "9" * 5000, "-" + "9" * 40, "NaN",
    "1s", "0s", "1h30m", "1ms1s", "36500d", "36501d", "1e9s", "-3s", "1.5h", "1." + "9" * 16 + "s", "1w 2d", "inf",
    "09:30", "24:00", "2026-02-30", "2026-01-31T09:30Z", "9999-12-31", "0001-01-01", "2026-01-31T09:30+99:00",
    "name=value", "name:=1", "name:=[1,", 'name:={"a":1,"a":2}', "name:=" + "[" * 3000, "name:=NaN", "name:=1e999",
    "name=@nothing", "name=@.", "name:=@plain.txt", "name=@plain.txt", "=x", "1a=2", "ñ=1", '{"$payload":"' + "0" * 64,
    "../../x", "/nonexistent/x", "./", ".", "hello.py", "hello.py:", "hello.py:hello", "hello.py:nope", ".py:x",
    "flow.db", "plain.txt", "%", "_", "\\", "'", '"', "; DROP TABLE runs", "AND", "NEAR(", "*", "$(touch x)", "`x`",
    "a\nb\rc\td", "\x1b]52;c;aGk=\x07", "\x1b[2J", "\x9b31m", "\u202eevil", "[/red]", "[link=x]y[/link]", "\udcff",
    "\ufeff", "😀", "x" * 20_000,
)  # fmt: skip

_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from(
    [chr(code) for code in range(0xDC80, 0xDD00, 16)]  # bytes of an argument that are not UTF-8
)


def _stays_here(text: str) -> bool:
    """Tell whether a text, used as a path, cannot lead out of the test's folder."""
    return not text.startswith(("/", "~")) and "=/" not in text and ".." not in text


TEXTS: SearchStrategy[str] = st.one_of(
    st.sampled_from(SAMPLES),
    st.text(_CHARACTERS, max_size=12).filter(_stays_here),
    st.integers(-(10**30), 10**30).map(str),
    st.tuples(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", "d", "w", "y", ""])).map(
        lambda part: f"{part[0]}{part[1]}"
    ),
)

SCALARS: SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8), st.sampled_from(["\ud800", "\0", "", 1 << 53, (1 << 53) + 1, -1, 10**400]),
)  # fmt: skip

JSON: SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)

_OURS = re.compile(r"\x1b\[[0-9;]*m")  # colours, where somebody asked for them
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def assert_harmless(said: str) -> None:
    """Fail when a text holds a character that a terminal obeys."""
    assert [] == _OBEYED.findall(_OURS.sub("", said)), repr(said[:2000])
