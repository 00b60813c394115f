"""Durable workflows in plain Python: what a workflow file imports.

The names are imported when they are first asked for: flowctl itself lives below this package and needs few of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowctl.sdk.command import sh as sh
    from flowctl.sdk.definition import step as step
    from flowctl.sdk.definition import workflow as workflow
    from flowctl.sdk.errors import GiveUp as GiveUp
    from flowctl.sdk.errors import NotFinished as NotFinished
    from flowctl.sdk.errors import RetryAfter as RetryAfter
    from flowctl.sdk.errors import SignalTimeout as SignalTimeout
    from flowctl.sdk.errors import StepFailed as StepFailed
    from flowctl.sdk.operations import current_run as current_run
    from flowctl.sdk.operations import gather as gather
    from flowctl.sdk.operations import now as now
    from flowctl.sdk.operations import random as random
    from flowctl.sdk.operations import secret as secret
    from flowctl.sdk.operations import sleep as sleep
    from flowctl.sdk.operations import uuid4 as uuid4
    from flowctl.sdk.progress import external_id as external_id
    from flowctl.sdk.progress import progress as progress
    from flowctl.sdk.signals import send_signal as send_signal
    from flowctl.sdk.signals import wait_signal as wait_signal
    from flowctl.sdk.undo import compensate as compensate

_MODULES = {
    "GiveUp": "errors",
    "NotFinished": "errors",
    "RetryAfter": "errors",
    "SignalTimeout": "errors",
    "StepFailed": "errors",
    "compensate": "undo",
    "current_run": "operations",
    "external_id": "progress",
    "gather": "operations",
    "now": "operations",
    "progress": "progress",
    "random": "operations",
    "secret": "operations",
    "send_signal": "signals",
    "sh": "command",
    "sleep": "operations",
    "step": "definition",
    "uuid4": "operations",
    "wait_signal": "signals",
    "workflow": "definition",
}

__all__ = [
    "GiveUp",
    "NotFinished",
    "RetryAfter",
    "SignalTimeout",
    "StepFailed",
    "compensate",
    "current_run",
    "external_id",
    "gather",
    "now",
    "progress",
    "random",
    "secret",
    "send_signal",
    "sh",
    "sleep",
    "step",
    "uuid4",
    "wait_signal",
    "workflow",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'flowctl' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"flowctl.sdk.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
