"""What kind of failure an error tells of."""

from __future__ import annotations

import json

import pytest

from flowctl.core.policy import error_class, error_type


def record(kind: str, message: str = "") -> str:
    return json.dumps({"type": kind, "message": message, "traceback": ""})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (record("RunTimedOut", "the run took longer than 3 s"), "timeout"),
        (record("StepFailed", "step fetch failed: StepTimedOut: it took longer than 1 s"), "timeout"),
        (record("flowctl.StepFailed", "step a: b failed: StepFailed: step c failed: ExecutorDied: x"), "crashed"),
        (record("CrashLoop"), "crashed"),
        (record("StepFailed", "step fetch failed: GiveUp"), "gave up"),
        (record("flowctl.GiveUp", "no"), "gave up"),
        (record("StepFailed", "step fetch failed: ChildCancelled: run 4 was cancelled"), "cancelled"),
        (record("InputError"), "rejected input"),
        (record("WorkflowMissing"), "code missing"),
        (record("ValueError", "step x failed: GiveUp"), "user error"),
        (record("mine.GiveUp"), "user error"),
        (record("StepFailed", "by hand"), "user error"),
        ("{broken", "user error"),
        ("[]", "user error"),
        ("3", "user error"),
    ],
)
def test_a_failure_has_a_class(error: str, expected: str) -> None:
    assert expected == error_class(error)


def test_the_type_is_that_of_the_step_whose_failure_was_let_through() -> None:
    assert "ValueError" == error_type(record("StepFailed", "step fetch failed: ValueError: x\ny"))
    assert "requests.Timeout" == error_type(record("requests.Timeout"))
