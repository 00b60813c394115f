"""The tests of disks work on the same bench as those of other faults."""

from __future__ import annotations

from tests.faults.conftest import (  # noqa: F401 - fixtures
    bench,
    ledger,
    run_of,
    shown,
    sound,
    spawn,
    store,
    wait_for,
    write,
)
