"""How a failure is written down, whatever the exception does."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowctl.sdk import source
from flowctl.sdk.definition import step
from flowctl.sdk.errors import (
    RECORD_LIMIT,
    Cancelled,
    Interruption,
    Mismatch,
    RetryAfter,
    StepFailed,
    Suspended,
    error_record,
    shown,
)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001  # every kind is tried
        return caught


def size(record: dict[str, str]) -> int:
    return len(json.dumps(record).encode())


def test_a_record_has_type_message_and_the_users_frames() -> None:
    def charge(card_number: str) -> None:
        raise ValueError("card was declined")

    try:
        charge("4111-1111-CANARY")
    except ValueError as error:
        record = error_record(error)
    assert ("ValueError", "card was declined") == (record["type"], record["message"])
    assert f'File "{__file__}"' in record["traceback"]
    assert 'raise ValueError("card was declined")' in record["traceback"]
    assert "in charge" in record["traceback"]
    assert record["traceback"].endswith("ValueError: card was declined")
    assert "4111-1111-CANARY" not in record["traceback"].replace('charge("4111-1111-CANARY")', "")


def test_frames_of_the_sdk_and_of_the_event_loop_are_not_shown() -> None:
    @step
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    try:
        fails()
    except KeyError as error:
        record = error_record(error)
    assert 2 == record["traceback"].count("File ") == record["traceback"].count(f'File "{__file__}"')


def test_causes_and_contexts_are_shown_oldest_first() -> None:
    try:
        try:
            raise OSError("disk")
        except OSError as first:
            raise RuntimeError("could not save") from first
    except RuntimeError as error:
        text = error_record(error)["traceback"]
    assert text.index("OSError: disk") < text.index("direct cause") < text.index("RuntimeError: could not save")
    with pytest.raises(RuntimeError) as hidden:  # noqa: PT012
        try:
            raise OSError("disk")
        except OSError:
            raise RuntimeError("while handling") from None
    assert "disk" not in error_record(hidden.value)["traceback"]


class BadStr(Exception):
    def __str__(self) -> str:
        raise SystemExit(5)


class NoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307


class BadAttributes(Exception):
    @property
    def exceptions(self) -> Any:
        raise RuntimeError("no")


class BadMeta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__module__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class BadClass(Exception, metaclass=BadMeta):
    pass


def _cycle() -> BaseException:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


def _long_chain() -> BaseException:
    last: BaseException = ValueError("0")
    for number in range(1, 2000):
        error = ValueError(str(number))
        error.__cause__ = last
        last = error
    return last


def _deep() -> BaseException:
    def down(left: int) -> None:
        if left:
            down(left - 1)
        raise ValueError("bottom")

    try:
        down(800)
    except ValueError as error:
        return error
    raise AssertionError


HOSTILE = [
    BadStr(),
    NoText(),
    BadAttributes("x"),
    BadClass("x"),
    _cycle(),
    _long_chain(),
    _deep(),
    ValueError("x" * 50_000_000),
    ValueError("\0" * 100_000),
    ValueError("\ud800"),
    ValueError("ü🚀" * 100_000),
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    SyntaxError("bad", ("file.py", 3, 1, "x y")),
    RecursionError(),
    type("T" * 200_000, (Exception,), {})("long name"),
]


@pytest.mark.parametrize("error", HOSTILE, ids=range(len(HOSTILE)))
def test_h07_a_hostile_exception_is_recorded_and_capped(error: BaseException) -> None:
    record = error_record(raised(error))
    assert {"type", "message", "traceback"} == set(record)
    assert all(type(text) is str for text in record.values())
    assert size(record) <= RECORD_LIMIT
    record["message"].encode("utf-8")
    json.dumps(record, ensure_ascii=False).encode("utf-8")


def test_h07_a_long_message_keeps_its_two_ends() -> None:
    message = error_record(ValueError("START" + "x" * 1_000_000 + "END"))["message"]
    assert message.startswith("START")
    assert message.endswith("END")
    assert "characters left out" in message


def test_h07_a_deep_traceback_keeps_its_two_ends() -> None:
    text = error_record(_deep())["traceback"]
    assert "in _deep" in text
    assert "frames left out" in text
    assert text.endswith("ValueError: bottom")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_h07_exception_groups_are_shown_and_capped() -> None:
    group: Any = __builtins__["ExceptionGroup"] if isinstance(__builtins__, dict) else __builtins__.ExceptionGroup
    nested = group("outer", [ValueError("first"), group("inner", [KeyError("second")])])
    text = error_record(raised(nested))["traceback"]
    assert text.index("outer") < text.index("ValueError: first") < text.index("KeyError: 'second'")
    huge = group("many", [ValueError("x" * 5_000) for _ in range(1000)])
    assert size(error_record(raised(huge))) <= RECORD_LIMIT
    deep: Any = ValueError("x")
    for _ in range(300):
        deep = group("level", [deep])
    assert size(error_record(raised(deep))) <= RECORD_LIMIT


def test_h07_a_cancellation_that_arrives_meanwhile_is_not_swallowed() -> None:
    class Slow(Exception):
        def __str__(self) -> str:
            raise Cancelled

    with pytest.raises(Cancelled):
        error_record(Slow())


@given(st.text(), st.none() | st.text())
def test_h07_any_message_fits(message: str, cause: str | None) -> None:
    error = ValueError(message * 100)
    error.__cause__ = None if cause is None else OSError(cause)
    assert size(error_record(error)) <= RECORD_LIMIT


def test_types_are_named_as_a_person_would() -> None:
    class Declined(Exception): ...

    assert "json.decoder.JSONDecodeError" == error_record(json.JSONDecodeError("x", "", 0))["type"]
    assert "StepFailed" == error_record(StepFailed("a", {}))["type"]
    assert error_record(Declined())["type"].endswith(".Declined")


def test_the_traceback_shows_the_text_that_was_loaded_not_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    loaded = "def go():\n    raise ValueError('from the snapshot')\n"
    file.write_text("# edited since\n" * 5)
    source.remember(str(file), loaded)
    names: dict[str, Any] = {}
    exec(compile(loaded, str(file), "exec"), names)  # noqa: S102  # as the loader does
    with pytest.raises(ValueError) as raised_there:
        names["go"]()
    assert "    raise ValueError('from the snapshot')" in error_record(raised_there.value)["traceback"]


def test_interruptions_pass_by_except_exception() -> None:
    for interruption in (Suspended(), Cancelled(), Mismatch(2, "parse", "key", "fetch")):
        assert isinstance(interruption, Interruption)
        assert not isinstance(interruption, Exception)


def test_step_failed_carries_the_record_and_survives_a_copy() -> None:
    failed = StepFailed("fetch#2", {"type": "OSError", "message": "down", "traceback": "…"}, ("other",))
    assert "step fetch#2 failed: OSError: down" == str(failed)
    again = copy.copy(failed)
    assert ("fetch#2", "OSError", "down", "…", ("other",)) == (
        again.step,
        again.type,
        again.message,
        again.traceback,
        again.failed_keys,
    )


def test_h10_retry_after_takes_any_duration() -> None:
    assert 90_000 == RetryAfter("1m30s").delay_ms
    assert "try again after 5s" == str(RetryAfter(5))
    with pytest.raises(ValueError, match="not a duration"):
        RetryAfter("soon")


def test_values_in_messages_are_short_and_never_raise() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError

    assert ["<Hostile>", "<int>", 60] == [shown(Hostile()), shown(10**5000), len(shown("x" * 1000))]
