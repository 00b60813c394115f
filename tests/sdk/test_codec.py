"""Values to JSON text and back: what comes back exactly, and what is refused with its path."""

# ruff: noqa: UP007, UP017, UP045  # these hints are evaluated, and Python 3.9 has no X | Y

from __future__ import annotations

import collections
import copy
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import socket
import sys
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Optional, Union
from zoneinfo import ZoneInfo

import pytest

from flowctl.sdk import codec
from flowctl.sdk.codec import Secret, canonical_hash, decode, encode, parse_json
from flowctl.sdk.errors import Unreadable, Unstorable

BERLIN = ZoneInfo("Europe/Berlin")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Mixed(enum.Enum):
    ONE = 1
    PAIR = (1, 2)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    2**64,
    10**4299,
    0.5,
    -0.0,
    1e300,
    "",
    "text",
    "ünïcode 🚀",
    "a\0b",
    "\x1b[31m",
    [],
    {},
    [1, [2, [3]]],
    {"a": {"b": [None]}},
    {"$": 1},
    {"$datetime": "no date"},
    {"$object": {"$secret": "x"}},
    {"$a": 1, "$b": 2},
]
TAGGED = [
    (1, 2),
    (),
    ((1,), [2]),
    {1, 2, 3},
    {"b", "a"},
    frozenset({1}),
    b"\x00\xff",
    dt.datetime(2026, 1, 31, 9, 0, 0, 123456),
    dt.datetime(2026, 1, 31, 9, tzinfo=dt.timezone.utc),
    dt.datetime(2026, 1, 31, 9, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30, seconds=7))),
    dt.datetime(2026, 7, 31, 9, tzinfo=BERLIN),
    dt.date(2026, 1, 31),
    dt.time(9, 30, 0, 5),
    dt.time(9, 30, tzinfo=BERLIN),
    dt.timedelta(0),
    dt.timedelta(days=-1, microseconds=1),
    dt.timedelta.max,
    dt.timedelta.min,
    uuid.UUID("12345678-1234-5678-1234-567812345678"),
    decimal.Decimal("1.10"),
    decimal.Decimal("-0E+3"),
    pathlib.Path("/a/b c"),
    pathlib.Path("."),
]


@pytest.mark.parametrize("value", PLAIN + TAGGED, ids=lambda value: type(value).__name__)
def test_a_value_without_a_hint_comes_back_exactly(value: Any) -> None:
    back = decode(encode(value))
    assert value == back
    assert type(value) is type(back)
    assert {"deep": [value]} == decode(encode({"deep": [value]}))


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:40])
def test_plain_json_is_written_as_itself(value: Any) -> None:
    looks_like_a_tag = isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$")
    if not looks_like_a_tag:
        assert json.loads(encode(value)) == value


HINTED = [
    (dt.datetime(2026, 1, 31, 9, tzinfo=dt.timezone.utc), dt.datetime, '"2026-01-31T09:00:00+00:00"'),
    (dt.datetime(2026, 1, 31, 9, tzinfo=BERLIN), dt.datetime, '"2026-01-31T09:00:00+01:00[Europe/Berlin]"'),
    (dt.timedelta(hours=1, minutes=30), dt.timedelta, '"PT1H30M"'),
    (dt.timedelta(days=-2, seconds=0.5), dt.timedelta, '"-P1DT23H59M59.5S"'),
    (Color.BLUE, Color, '"blue"'),
    (Mixed.PAIR, Mixed, '"PAIR"'),
    (Level.HIGH, Level, "2"),
    (Rights.READ | Rights.WRITE, Rights, "3"),
    (uuid.UUID(int=1), uuid.UUID, '"00000000-0000-0000-0000-000000000001"'),
    (decimal.Decimal("1.50"), decimal.Decimal, '"1.50"'),
    (pathlib.Path("/x"), pathlib.Path, '"/x"'),
    (pathlib.PurePosixPath("/x"), pathlib.PurePosixPath, '"/x"'),
    (b"hi", bytes, '"aGk="'),
    ((1, "a"), tuple[int, str], '[1,"a"]'),
    ((1, 2, 3), tuple[int, ...], "[1,2,3]"),
    ({3, 1, 2}, set[int], "[1,2,3]"),
    (frozenset({Color.RED}), frozenset[Color], '["red"]'),
    ([Color.RED], list[Color], '["red"]'),
    ({"a": dt.date(2026, 1, 1)}, dict[str, dt.date], '{"a":"2026-01-01"}'),
    ({"$x": dt.date(2026, 1, 1)}, Mapping[str, dt.date], '{"$object":{"$x":"2026-01-01"}}'),
    (None, Optional[Color], "null"),
    (Color.RED, Optional[Color], '"red"'),
    (Color.RED, Literal[Color.RED, 5], '"red"'),
    (5, Literal[Color.RED, 5], "5"),
    ("text", Union[str, Color], '"text"'),
    (Color.RED, Union[str, Color], '{"$Color":"red"}'),
    (dt.date(2026, 1, 1), Union[str, dt.date], '{"$date":"2026-01-01"}'),
    (dt.date(2026, 1, 1), Union[int, dt.date], '"2026-01-01"'),
    ((1, 2), Union[list[int], tuple[int, ...]], '{"$tuple":[1,2]}'),
    ([1, 2], Union[list[int], tuple[int, ...]], "[1,2]"),
    ([Color.RED], Union[list[Color], set[int]], '["red"]'),
    ({2, 1}, Union[list[Color], set[int]], '{"$set":[1,2]}'),
    ({"a": Color.RED}, Union[dict[str, Color], Mixed], '{"a":"red"}'),
    ([Color.RED], Sequence[Color], '["red"]'),
    ((Color.RED,), Sequence[Color], None),
    ({Color.RED}, Iterable[Color], None),
    ((Color.RED,), Collection[Color], None),
    ([b"x", None, [b"y"]], list[Any], None),
]


@pytest.mark.parametrize(("value", "hint", "text"), HINTED, ids=lambda part: repr(part)[:40])
def test_a_hint_that_determines_the_type_gives_a_readable_form(value: Any, hint: Any, text: str | None) -> None:
    written = encode(value, hint)
    if text is not None:
        assert text == written
    back = decode(written, hint)
    assert value == back
    assert type(value) is type(back)


LIES = [
    ("not a date", dt.datetime),
    (5, dt.datetime),
    ({"a": 1}, list[int]),
    ([1, "x"], tuple[int, ...]),
    ((1, 2, 3), tuple[int, int]),
    ("red", Color),
    (Level.LOW.value, Color),
    ("text", bytes),
    ([1], set[int]),
    (b"x", Union[int, Color]),
    ("x", Union[int, dt.date]),
    ({"$value": 1}, dt.date),
    ([("a", dt.date(2026, 1, 1))], list[dt.date]),
    ({"k": "x"}, dict[str, dt.date]),
    ("x", int),
    (None, str),
]


@pytest.mark.parametrize(("value", "hint"), LIES, ids=lambda part: repr(part)[:40])
def test_a_hint_that_lies_changes_no_value(value: Any, hint: Any) -> None:
    back = decode(encode(value, hint), hint)
    assert value == back
    assert type(value) is type(back)


def test_int_where_float_is_promised_becomes_float_so_that_3_and_3_0_are_one_input() -> None:
    assert encode(3, float) == encode(3.0, float) == "3.0"
    assert isinstance(decode("3.0", float), float)


def test_a_repeated_hour_keeps_its_side_of_the_clock_change() -> None:
    for fold in (0, 1):
        moment = dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold)
        assert moment.utcoffset() == decode(encode(moment)).utcoffset()


def test_subclasses_of_builtin_types_come_back_as_their_base() -> None:
    value = collections.OrderedDict(a=collections.Counter("aab"))
    assert {"a": {"a": 2, "b": 1}} == decode(encode(value))


def test_sets_are_written_in_an_order_of_their_own() -> None:
    words = [f"word{number}" for number in range(50)]
    assert encode(set(words)) == encode({*words[25:], *words[:25]})
    assert '{"$set":["a","b",1,2]}' == encode({2, "b", 1, "a"})


def test_what_is_read_is_never_what_was_written() -> None:
    value = {"list": [1]}
    back = decode(encode(value))
    back["list"].append(2)
    assert {"list": [1]} == value


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "path"),
    [
        (lambda bad: bad, "$"),
        (lambda bad: {"items": [0, 1, 2, {"socket": bad}]}, "$.items[3].socket"),
        (lambda bad: ({"a b": bad},), '$[0]["a b"]'),
        (lambda bad: {"a": {"b": (1, [bad])}}, "$.a.b[1][0]"),
    ],
)
def test_k01_what_cannot_be_recorded_is_refused_with_its_path(build: Any, path: str) -> None:
    for bad in (lambda: 0, object(), sys, complex(1, 2), (number for number in "a"), memoryview(b""), ValueError):
        with pytest.raises(TypeError) as refused:
            encode(build(bad))
        assert str(refused.value).startswith(f"{path} is ")
        assert "cannot be recorded" in str(refused.value)


def test_k01_a_socket_is_refused_with_its_path() -> None:
    with (
        socket.socket() as open_socket,
        pytest.raises(Unstorable, match=r"^\$\.items\[3\]\.socket is a socket\.socket"),
    ):
        encode({"items": [1, 2, 3, {"socket": open_socket}]})


def test_k01_the_path_is_given_through_hints_too() -> None:
    with pytest.raises(Unstorable, match=r"^\$\.days\[1\] is a object"):
        encode({"days": [dt.date(2026, 1, 1), object()]}, dict[str, list[dt.date]])


def test_k01_a_type_that_comes_back_only_by_hint_says_so() -> None:
    for value in (Color.RED, Level.LOW):
        with pytest.raises(Unstorable, match=f"-> {type(value).__name__}"):
            encode([value])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("hint", [Any, float, Union[float, str], list[float], dict[str, Optional[float]]])
def test_k03_nan_is_refused_with_its_path(number: float, hint: Any) -> None:
    value, path = {list[float]: ([number], r"\[0\]")}.get(hint, (number, ""))
    if hint == dict[str, Optional[float]]:
        value, path = {"x": number}, r"\.x"
    with pytest.raises(Unstorable, match=rf"^\${path} is -?(nan|inf), and NaN and Infinity cannot be recorded"):
        encode(value, hint)


def test_k03_a_decimal_nan_is_refused() -> None:
    with pytest.raises(Unstorable, match=r"^\$\.price is Decimal"):
        encode({"price": decimal.Decimal("NaN")})


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "ü\ud800"])
def test_k04_a_lone_surrogate_is_an_escape_in_the_text_and_comes_back(text: str) -> None:
    written = encode({"text": text, "more": "ü"})
    written.encode("utf-8")
    assert "\\ud" in written
    assert text == decode(written)["text"]
    assert canonical_hash(written) == canonical_hash(encode({"more": "ü", "text": text}))


def test_k04_a_surrogate_pair_that_json_would_merge_is_refused() -> None:
    with pytest.raises(Unstorable, match="surrogate pairs"):
        encode(["\ud83d\ude00"])


def test_k05_nul_is_escaped() -> None:
    assert '"a\\u0000b"' == encode("a\0b")


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def test_k06_500_levels_come_back_and_501_are_refused() -> None:
    assert _nested(500) == decode(encode(_nested(500)))
    with pytest.raises(Unstorable, match="500 levels"):
        encode(_nested(501))


def test_k06_100000_levels_are_refused_whatever_the_recursion_limit_is() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200_000)
    try:
        for hint in (Any, list[Any], list[dt.date]):
            with pytest.raises(Unstorable, match="500 levels"):
                encode(_nested(100_000), hint)
    finally:
        sys.setrecursionlimit(before)


def test_k07_a_cycle_is_refused_in_a_message_of_bearable_length() -> None:
    value: dict[str, Any] = {}
    value["self"] = [value]
    with pytest.raises(Unstorable, match="contains itself") as refused:
        encode(value)
    assert len(str(refused.value)) < 1500


def test_k08_ints_up_to_4300_digits_come_back_and_longer_ones_are_refused() -> None:
    for number in (2**63, -(2**63) - 1, 10**4300 - 1, 1 - 10**4300):
        assert number == decode(encode(number))
    for number in (10**4300, -(10**4300)):
        with pytest.raises(Unstorable, match=r"^\$\.n is a number of more than 4300 digits"):
            encode({"n": number})


@pytest.mark.parametrize("key", [1, None, True, (1, 2), b"x", 1.5, Color.RED])
def test_k09_a_key_that_is_no_text_is_refused(key: Any) -> None:
    with pytest.raises(Unstorable, match=r"^\$\.outer has the key .* only strings can be keys"):
        encode({"outer": {key: "a", "1": "b"}})
    with pytest.raises(Unstorable, match="only strings can be keys"):
        encode({key: dt.date(2026, 1, 1)}, dict[str, dt.date])


# -- hash and text -----------------------------------------------------------------------------------------------------


def test_k10_the_hash_ignores_the_order_of_keys_and_the_text_keeps_it() -> None:
    one, other = {"b": 1, "a": {"d": 1, "c": 2}}, {"a": {"c": 2, "d": 1}, "b": 1}
    assert canonical_hash(encode(one)) == canonical_hash(encode(other))
    assert '{"b":1,"a":{"d":1,"c":2}}' == encode(one)


def test_k10_minus_zero_tuples_and_number_types_are_told_apart() -> None:
    texts = [encode(value) for value in (0, 0.0, -0.0, [0], (0,), "0", False)]
    assert len(texts) == len({canonical_hash(text) for text in texts})
    assert math.copysign(1, decode(encode(-0.0))) == -1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "b": {"a": 1, "a": 2}}', "'a' stands twice"),
        ("1e400", "out of range"),
        ("[NaN]", "NaN is not JSON"),
        ("-Infinity", "not JSON"),
        ("{'a': 1}", "column 2"),
        ('{\n"a": x}', "line 2 column 6"),
        ("[" * 100_000, "too deeply"),
        ("", "column 1"),
    ],
)
def test_k10_json_of_a_person_is_read_strictly(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_json(text)


# -- tags and secrets --------------------------------------------------------------------------------------------------


def test_a_secret_is_recorded_by_its_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2-value")
    token = Secret("hunter2-value", "TOKEN")
    for hint in (Any, str, Union[str, int], Optional[str]):
        written = encode({"token": token}, dict[str, hint])
        assert '{"token":{"$secret":"TOKEN"}}' == written
        back = decode(written, dict[str, hint])["token"]
        assert (token, "TOKEN", Secret) == (back, back.name, type(back))
    assert "hunter2" not in repr([token])
    assert "TOKEN" == copy.deepcopy(token).name


def test_a_secret_that_is_gone_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GONE", raising=False)
    with pytest.raises(Unreadable, match=r"^\$\.a\[0\] cannot be read: there is no secret GONE"):
        decode('{"a":[{"$secret":"GONE"}]}')


def test_a_resolver_gives_the_values_of_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_resolver", codec._resolver)
    codec.resolve_secrets_with(lambda name: f"value of {name}")
    assert "value of A" == decode('{"$secret":"A"}')


@pytest.mark.parametrize("text", ['{"$payload":"x"}', '{"$sensitive":true}', '{"$later":1}', '{"$datetime":5}'])
def test_a_tag_that_means_nothing_here_is_refused(text: str) -> None:
    with pytest.raises(Unreadable, match="means nothing here"):
        decode(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('"soon"', dt.datetime),
        ('{"$datetime":"soon"}', Any),
        ('"green"', Color),
        ('"x"', uuid.UUID),
        ('"x"', decimal.Decimal),
        ('"NaN"', decimal.Decimal),
        ('"P"', dt.timedelta),
        ('"a"', bytes),
        ('"2026-01-01T00:00:00[Mars/Olympus]"', dt.datetime),
        ('"2026-01-01T00:00:00[../../etc/passwd]"', dt.datetime),
    ],
)
def test_text_that_does_not_fit_its_type_is_refused_with_the_path(text: str, hint: Any) -> None:
    with pytest.raises(Unreadable, match=r"^\$\.days\[0\] "):
        decode(f'{{"days":[{text}]}}', dict[str, list[hint]])
