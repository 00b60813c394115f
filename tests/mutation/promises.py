"""`python -m tests.mutation --promises`: each promise broken on purpose, and the tests that have to fail then."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.mutation.laboratory import Laboratory


@dataclass(frozen=True, slots=True)
class Edit:
    """One text of a file put in place of another."""

    path: str
    text: str
    other: str


@dataclass(frozen=True, slots=True)
class Break:
    """A promise, the edits that break it, and the tests of which each has to fail."""

    promise: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    slow: bool = False  # its tests take long: only `--promises` tries them

    def changes(self) -> dict[str, str]:
        """Return the edited files. Raises LookupError when a text is not there once: the code has moved on."""
        found: dict[str, str] = {}
        for edit in self.edits:
            source = found.get(edit.path) or (ROOT / edit.path).read_text()
            if source.count(edit.text) != 1:
                raise LookupError(f"{edit.path} does not hold once: {edit.text}")
            found[edit.path] = source.replace(edit.text, edit.other)
        return found


BREAKS = (
    Break(
        "a lost claim changes nothing: `AND epoch = :epoch` dropped",
        (
            Edit("flowctl/store/runs.sql", "claimed\nid = :run AND epoch = :epoch AND", "claimed\nid = :run AND"),
            Edit("flowctl/store/steps.sql", "id = +:run AND epoch = +:epoch AND", "id = +:run AND"),
        ),
        (
            "tests/store/test_claims.py::test_c11_a_write_with_an_old_epoch_loses_its_claim_and_changes_nothing",
            "tests/faults/test_c_fencing.py::"
            "test_c01_an_engine_that_wakes_while_another_works_on_its_run_does_not_answer_for_it",
        ),
    ),
    Break(
        "accepted is durable: synchronous = NORMAL",
        (Edit("flowctl/store/connection.py", "PRAGMA synchronous = FULL;", "PRAGMA synchronous = NORMAL;"),),
        ("tests/disk/test_power_cuts.py::test_a11_no_power_cut_damages_the_file_or_takes_what_was_acknowledged",),
        slow=True,
    ),
    Break(
        "executed at least once: an outcome recorded before the body returns",
        (
            Edit(
                "flowctl/engine/bodies.py",
                '    session.tell(operation, "running")\n\n\ndef on_progress',
                '    session.tell(operation, "running")\n'
                '    session.store.steps.succeed(session.claim, operation.key, "null", session.engine.now)\n'
                "\n\ndef on_progress",
            ),
        ),
        ("tests/faults/test_a_crash.py::test_a05_everything_a_step_started_is_gone_a_second_after_its_engine",),
    ),
    Break(
        "same code: a recorded input is not compared with what is asked now",
        (
            Edit(
                "flowctl/sdk/replay.py",
                'if recorded.input_hash not in ("", asked.input_hash) and not accepted:',
                "if False:",
            ),
        ),
        (
            "tests/sdk/test_replay.py::test_i02_a_changed_input_is_a_mismatch",
            "tests/faults/test_i_replay.py::test_i02_a_changed_input_is_blocked_with_both_inputs_until_it_is_accepted",
        ),
    ),
    Break(
        "no overlap: the lock of an engine loses its close-on-exec",
        (
            Edit(
                "flowctl/engine/claim.py",
                "        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
                "        os.set_inheritable(self._fd, True)\n"
                "        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
            ),
        ),
        ("tests/faults/test_c_lock.py::test_c09_a_process_that_inherits_what_it_can_does_not_keep_the_lock",),
    ),
    Break(
        "one run per slot: a fixed time is due in both halves of a repeated hour",
        (Edit("flowctl/core/recurrence.py", "            start = max(start, begin + previous)\n", ""),),
        ("tests/unit/test_recurrence.py::test_e05_a_fixed_time_that_occurs_twice_is_due_once",),
    ),
    Break(
        "no slot is lost: a fixed time in a gap is left out",
        (
            Edit(
                "flowctl/core/recurrence.py",
                "                done = begin\n                yield begin\n",
                "                pass\n",
            ),
        ),
        ("tests/unit/test_recurrence.py::test_e07_a_fixed_time_in_the_gap_is_due_at_the_first_instant_after_it",),
    ),
)


def main() -> int:
    """Break each promise and return 1 when a test that has to notice it does not."""
    folder = Path(tempfile.mkdtemp(prefix="flowctl-promises-"))
    unnoticed = 0
    try:
        laboratory = Laboratory(folder / "copy")
        for each in BREAKS:
            print(each.promise)
            for test in each.tests:
                fails_anyway = laboratory.judge({}, [(test,)])
                noticed = not fails_anyway and laboratory.judge(each.changes(), [(test,)])
                verdict = "fails, as it must" if noticed else "FAILS ANYWAY" if fails_anyway else "DOES NOT NOTICE"
                unnoticed += not noticed
                print(f"  {verdict}: {test}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if unnoticed else 0
