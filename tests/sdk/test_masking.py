"""Secrets in text, in JSON, and in streams."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from flowctl.sdk import masking
from flowctl.sdk.masking import Masker, StreamMask


def masker(*values: str) -> Masker:
    result = Masker()
    for value in values:
        result.add(value)
    return result


pieces = st.lists(
    st.sampled_from(["abcd", "abcdefgh", "cdxx", "a", "b", "cd", "ef", "gh", '"q', "\n", "xx"]), max_size=12
)


@given(pieces, st.lists(st.integers(1, 5), min_size=40, max_size=40))
def test_n04_masking_a_stream_does_not_depend_on_where_it_was_cut(parts: list[str], cuts: list[int]) -> None:
    hidden = masker("abcd", "abcdefgh", 'cdxx"q\n', "aaaa")
    text = "".join(parts)
    stream, shown, at = StreamMask(hidden), "", 0
    for cut in cuts:
        shown += stream.feed(text[at : at + cut])
        at += cut
    shown += stream.feed(text[at:]) + stream.flush()
    assert shown == hidden.mask(text)


@given(pieces)
def test_masking_twice_changes_nothing_more(parts: list[str]) -> None:
    hidden = masker("abcd", "cdxx")
    once = hidden.mask("".join(parts))
    assert hidden.mask(once) == once


def test_a_stream_holds_back_only_what_may_become_a_secret() -> None:
    stream = StreamMask(masker("secret-value"))
    assert stream.feed("plain text") == "plain text"
    assert stream.feed("now sec") == "now "
    assert stream.feed("ond") == "second"
    assert stream.feed("secret-") == ""
    assert stream.feed("value!") == "***!"
    assert (stream.feed("sec"), stream.flush()) == ("", "sec")


def test_of_two_secrets_the_longer_one_is_hidden_whole() -> None:
    assert masker("token", "token-and-more").mask("<token-and-more> <token>") == "<***> <***>"


def test_escaped_forms_of_a_secret_are_hidden() -> None:
    value = 'pa"ss/wörd\n'
    hidden = masker(value)
    for text in (
        value,
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        repr(value),
        "pa%22ss%2Fw%C3%B6rd%0A",
    ):
        assert "ss" not in hidden.mask(text)


def test_json_stays_json_whatever_the_secret_looks_like(monkeypatch: object) -> None:
    hidden = masking._here
    before = hidden.forms
    try:
        for secret in ('"a":1', "1234", "true", '}],"x"', "\\u00e4\\"):
            masking.register(secret)
            plain = {"a": 1, "n": 1234, "t": [True, f"x{secret}y"], secret: json.dumps([secret])}
            masked = json.loads(masking.mask_json(json.dumps(plain, separators=(",", ":"))))
            assert (masked["n"], masked["t"]) == (1234, [True, "x***y"])
            assert secret not in json.loads(masked.get("***", '[""]'))
    finally:
        hidden._secrets.clear()
        hidden.forms = before


def test_json_without_secrets_is_the_same_object() -> None:
    text = '{"a": 1}'
    assert masking.mask_json(text) is text


def test_a_short_value_is_not_hidden() -> None:
    assert masking.register("abc") is False
    assert not masking.active()
