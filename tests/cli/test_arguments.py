"""Words of a command line become the input of a run, or one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowctl.cli.arguments import parse_arguments, parse_json, read_each, read_input
from flowctl.core.errors import FlowctlError, NotFound, UsageError


def test_words_are_texts_by_name() -> None:
    found = parse_arguments(["name=World", "empty=", "equation=a=b", "grüße=ja"])
    assert {"name": "World", "empty": "", "equation": "a=b", "grüße": "ja"} == found.texts
    assert found.object_text is None


def test_a_colon_makes_a_word_json() -> None:
    found = parse_arguments(["n:=3", 'items:=["a", 1.5, null]', "name=x"])
    assert {"name": "x"} == found.texts
    assert {"n": 3, "items": ["a", 1.5, None]} == json.loads(found.object_text or "")


def test_an_at_sign_reads_a_file(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("line 1\nline 2\n")
    (tmp_path / "data.json").write_text('{"a": 1}')
    found = parse_arguments([f"text=@{tmp_path}/note.txt", f"data:=@{tmp_path}/data.json"])
    assert "line 1\nline 2\n" == found.texts["text"]
    assert {"data": {"a": 1}} == json.loads(found.object_text or "")


def test_single_words_come_before_what_input_says() -> None:
    found = parse_arguments(["a=text", "b:=2"], '{"a": 1, "b": 1, "c": 1}')
    assert {"a": "text"} == found.texts
    assert {"b": 2, "c": 1} == json.loads(found.object_text or "")


def test_input_alone_is_passed_on_as_it_was_written() -> None:
    text = '{"a": 1.10, "b": 12345678901234567890}'
    assert text == parse_arguments([], text).object_text
    assert text == parse_arguments(["c=x"], text).object_text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "'--help' is not an argument"),
        (["="], "'=' is not an argument"),
        ([""], "'' is not an argument"),
        (["../x"], "'../x' is not an argument"),
        (["1a=2"], "'1a=2' is not an argument"),
        (["\U0001f600=1"], "is not an argument"),
        (["a=1", "a=2"], "a is given twice"),
        (["a=1", "a:=2"], "a is given twice"),
        (["a:=nope"], "the value of a is not JSON"),
        (["a:=NaN"], "NaN is not a JSON value"),
        (["a:=-Infinity"], "-Infinity is not a JSON value"),
        (["a:=1e999"], "1e999 is too large a number"),
        ([f"a:={'9' * 5000}"], "the value of a is not JSON"),
        ([f"a:={'[' * 100_000}"], "the value of a is not JSON"),
    ],
)
def test_m01_a_word_that_makes_no_sense_is_named(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_arguments(words)
    assert said in refused.value.message
    assert len(refused.value.message) < 300


def test_m01_bad_json_is_shown_with_a_caret() -> None:
    with pytest.raises(UsageError) as refused:
        parse_json('{"a": 1,\n "b": oops}', "--input")
    assert "--input is not JSON: expecting value, line 2 column 7" == refused.value.message
    assert ' "b": oops}\n      ^' == refused.value.hint


def test_m01_the_caret_of_a_long_line_stays_on_the_screen() -> None:
    with pytest.raises(UsageError) as refused:
        parse_json("[" + "1, " * 50_000 + "x]", "--input")
    line, caret = refused.value.hint.split("\n")
    assert len(line) <= 70
    assert "x" == line[len(caret) - 1]


@pytest.mark.parametrize(
    ("text", "kind"), [("[]", "a list"), ('"x"', "a string"), ("true", "a boolean"), ("null", "null")]
)
def test_m01_input_is_an_object(text: str, kind: str) -> None:
    with pytest.raises(UsageError, match=f"--input is not a JSON object but {kind}"):
        parse_arguments([], text)


def test_n13_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"ok\xff")
    for word in ("a=@/nonexistent/file", f"a=@{tmp_path}", f"a=@{tmp_path}/bytes", "a=@x\0y", f"a=@{'x' * 300}"):
        with pytest.raises(FlowctlError):
            parse_arguments([word])
    with pytest.raises(NotFound) as refused:
        parse_arguments(["to=@alice"])
    assert "to:='\"@…\"'" in refused.value.hint


def test_input_names_a_file_or_is_the_text(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"a": 1}')
    assert '{"a": 1}' == read_input(f"@{tmp_path}/in.json")
    assert '{"a": 2}' == read_input('{"a": 2}')


def test_each_line_of_a_file_is_a_run_and_empty_lines_are_none(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text('{"a": 1}\n\n{"a": "x\u2028y"}\n')
    assert [(1, '{"a": 1}'), (3, '{"a": "x\u2028y"}')] == list(read_each(str(tmp_path / "runs.jsonl")))


@given(st.lists(st.text(max_size=30), max_size=4), st.none() | st.text(max_size=30))
def test_m01_any_words_are_parsed_or_refused(words: list[str], text: str | None) -> None:
    assert "\n" not in refusal(words, text)


def refusal(words: list[str], text: str | None) -> str:
    try:
        parse_arguments(words, text)
    except FlowctlError as error:
        return error.message
    return ""
