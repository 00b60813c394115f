"""One try of a body: call it with its output captured, and turn whatever it does into an output or an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from flowctl.sdk import capture, masking
from flowctl.sdk.context import StepInfo, step_scope
from flowctl.sdk.errors import GiveUp, Interruption, NotFinished, RetryAfter, Unreadable, Unstorable, error_record

GIVE_UP_CODE = 78  # EX_CONFIG of sysexits.h: trying again would not help

if TYPE_CHECKING:
    from flowctl.sdk.codec import Codec
    from flowctl.sdk.definition import BoundCall


class Ended(NamedTuple):
    """How a body ended: `output` is JSON text, or `error` is, and then whether trying again makes sense."""

    output: Optional[str]
    error: Optional[str] = None
    retry: bool = True
    retry_after_ms: Optional[int] = None


class TooLarge(Exception):
    """A value is larger than a step's input or output may be."""


def try_body(bound: BoundCall[Any], info: StepInfo, sink: capture.Sink, limit: int) -> Ended:
    """Run the body once; its output may have so many bytes. Raised is only an interruption of the whole run."""
    capture.use(sink)
    try:
        with step_scope(info):
            value = _work(bound, info)
        return Ended(output_text(bound.output, value, bound.name, limit))
    except Interruption:
        raise
    except BaseException as error:  # noqa: BLE001 — whatever the body raises is its failure, sys.exit included
        return _failed(error, bound)
    finally:
        if info.meter is not None:
            info.meter.close()
        sink.close()


def _work(bound: BoundCall[Any], info: StepInfo) -> Any:
    """Run the body, unless what an earlier attempt has begun elsewhere turns out to have finished."""
    if info.external_id is not None:
        try:
            return bound.reconcile(info.external_id)
        except NotFinished:
            pass
    return bound.run()


def output_text(output: Codec, value: Any, name: str, limit: int) -> str:
    """Return the JSON text of what a step or workflow returned, as it may be recorded. Raises Unstorable and TooLarge.

    What holds a secret is refused where it cannot be read back without: a replay could not go on from it.
    """
    try:
        text = output.encode(value)
        kept = recorded_text(text, "output", limit)
        if kept is not text:
            _require_readable(output, kept)
    except Unstorable as refusal:
        raise refusal.of(f"output of {name}") from None
    return kept


def _require_readable(output: Codec, kept: str) -> None:
    try:
        output.decode(kept)
    except Unreadable as error:
        problem = "holds a secret or a sensitive parameter, which is never stored, and cannot be read without it"
        raise Unstorable(problem, error.path) from None


def recorded_text(text: str, what: str, limit: int) -> str:
    """Return JSON text as it may be recorded: without secrets, and not longer than the limit in bytes."""
    if masking.active():
        text = masking.mask_json(text)
    if len(text) > limit // 4 and len(text.encode()) > limit:
        size = len(text.encode()) / (1 << 20)
        raise TooLarge(f"its {what} is {size:.1f} MB as JSON, more than the {limit / (1 << 20):g} MB that are recorded")
    return text


def error_text(error: BaseException) -> str:
    """Return the JSON text of an exception's record, without secrets."""
    return record_text(error_record(error))


def record_text(record: dict[str, str]) -> str:
    """Return the JSON text of an error record, without secrets."""
    return json.dumps({name: masking.mask(text) for name, text in record.items()}, ensure_ascii=False)


def _failed(error: BaseException, bound: BoundCall[Any]) -> Ended:
    # What an exception says of itself may be anything, and looking at it may raise: then it is an ordinary failure.
    try:
        retry = _worth_retrying(error, bound)
    except Exception:  # noqa: BLE001
        retry = False
    delay = getattr(error, "delay_ms", None) if issubclass(type(error), RetryAfter) else None
    return Ended(None, error_text(error), retry, delay if type(delay) is int else None)


def _worth_retrying(error: BaseException, bound: BoundCall[Any]) -> bool:
    if isinstance(error, (GiveUp, Unstorable, TooLarge)):  # the last two would only repeat the side effects
        return False
    if isinstance(error, SystemExit) and error.code == GIVE_UP_CODE:
        return False
    return bound.retries_on(error)
