"""Durable workflows in plain Python: what a workflow file imports."""

from flowctl.sdk.definition import step, workflow
from flowctl.sdk.errors import GiveUp, RetryAfter, StepFailed
from flowctl.sdk.operations import current_run, gather, now, random, secret, sh, sleep, uuid4

__all__ = [
    "GiveUp",
    "RetryAfter",
    "StepFailed",
    "current_run",
    "gather",
    "now",
    "random",
    "secret",
    "sh",
    "sleep",
    "step",
    "uuid4",
    "workflow",
]
