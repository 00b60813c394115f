"""Everything that flowctl refuses or fails at, with its exit code.

The message is one sentence for a person: what, where, why. The hint is the next command or action.
"""

from __future__ import annotations


class FlowctlError(Exception):
    """Something that a person is told in one sentence."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(FlowctlError):
    """What was asked makes no sense: bad argument, bad input, bad workflow file."""

    exit_code = 2


class Busy(FlowctlError):
    """The database is locked by another process, or no daemon runs: try again."""

    exit_code = 3


class NewerFile(FlowctlError):
    """The database was written by a newer flowctl."""

    exit_code = 3


class NotFound(FlowctlError):
    """No such run, step, workflow or file."""

    exit_code = 4


class Conflict(FlowctlError):
    """The state of things forbids it: wrong state, key used with other input, claim held by another engine."""

    exit_code = 5


class TimedOut(FlowctlError):
    """It took longer than it may."""

    exit_code = 7


class Damaged(FlowctlError):
    """The file is not a flowctl database, or is damaged."""

    exit_code = 65


class Moved(FlowctlError):
    """The database was moved or deleted while it was open."""

    exit_code = 70


class DiskTrouble(FlowctlError):
    """The disk is full or failed."""

    exit_code = 74


class NotPermitted(FlowctlError):
    """File permissions, ownership or a symbolic link forbid it."""

    exit_code = 77


class ClaimLost(Exception):
    """A guarded write of an engine changed nothing: another engine has the run now."""
