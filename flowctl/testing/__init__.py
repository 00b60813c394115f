"""For the tests of workflow authors: the real engine in a temporary folder, with a clock that the test moves.

With pytest the fixture `flowctl_bench` gives a `Bench`; elsewhere it is a context manager.
"""

from flowctl.testing.bench import Bench
from flowctl.testing.crashes import CrashPoint
from flowctl.testing.records import RecordedRun, RecordedStep

__all__ = ["Bench", "CrashPoint", "RecordedRun", "RecordedStep"]
