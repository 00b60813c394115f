"""Which code is mutated, and which tests are tried against each file: the likeliest first."""

from __future__ import annotations

from fnmatch import fnmatch

from tests.mutation.laboratory import Stage

# verify.* only looks, and has a test of each look; columns and wording are not worth a mutant.
FILES = (
    "flowctl/store/*.sql", "flowctl/store/runs.py", "flowctl/store/steps.py", "flowctl/store/connection.py",
    "flowctl/store/engines.py", "flowctl/store/payloads.py", "flowctl/store/snapshots.py", "flowctl/store/store.py",
    "flowctl/store/queries.py", "flowctl/store/migrate.py", "flowctl/store/files.py", "schema.sql",
    "flowctl/sdk/replay.py", "flowctl/sdk/gather.py", "flowctl/core/policy.py", "flowctl/engine/claim.py",
    "flowctl/engine/recovery.py", "flowctl/engine/closing.py",
)  # fmt: skip
NOT = ("flowctl/store/verify.sql", "flowctl/store/store.sql")

_SLOW = ("growth", "migrate", "search")  # they prove the same of any SQL, or are the first stage of their own file
_STORE: Stage = ("tests/store", *(f"--ignore=tests/store/test_{name}.py" for name in _SLOW))
_ENGINE: Stage = (
    "tests/faults/test_b_recorded.py", "tests/faults/test_c_fencing.py", "tests/faults/test_h_retries.py",
    "tests/faults/test_i_replay.py", "tests/engine/test_children.py", "tests/engine/test_workflow_options.py",
)  # fmt: skip
_REST: Stage = ("tests/faults", "tests/cli/test_show.py", "tests/cli/test_run.py", "tests/cli/test_json.py")

_STAGES: dict[str, list[Stage]] = {
    "flowctl/store/steps.*": [("tests/store/test_steps.py", "tests/store/test_claims.py", "tests/store/test_retry.py")],
    "flowctl/store/runs.*": [("tests/store/test_runs.py", "tests/store/test_claims.py", "tests/store/test_find.py")],
    "flowctl/store/payloads.*": [("tests/store/test_payloads.py",)],
    "flowctl/store/workflows.*": [("tests/store/test_registry.py",)],
    "flowctl/store/engines.*": [("tests/store/test_registry.py", "tests/store/test_claims.py")],
    "flowctl/store/events.*": [("tests/store/test_registry.py",)],
    "flowctl/store/snapshots.*": [("tests/store/test_payloads.py",)],
    "flowctl/store/migrate.py": [("tests/store/test_migrate.py", "tests/store/test_open.py")],
    "flowctl/store/files.py": [("tests/store/test_open.py",)],
    "flowctl/store/breakers.*": [("tests/store/test_breakers.py",), ("tests/engine/test_breakers.py",)],
    "flowctl/store/environments.*": [("tests/store/test_payloads.py",), ("tests/engine/test_environments.py",)],
    "flowctl/store/holds.*": [("tests/store/test_holds.py",), ("tests/engine/test_conditions.py",)],
    "flowctl/store/metrics.*": [("tests/engine/test_metrics.py",)],
    "flowctl/store/notices.*": [("tests/store/test_notices.py",), ("tests/engine/test_notifier.py",)],
    "flowctl/store/queues.*": [("tests/store/test_queues.py",)],
    "flowctl/store/retention.*": [("tests/engine/test_retention.py",)],
    "flowctl/store/schedules.*": [("tests/store/test_schedules.py", "tests/engine/test_scheduler_durable.py")],
    "flowctl/store/search.*": [("tests/store/test_search.py",)],
    "flowctl/store/signals.*": [("tests/store/test_signals.py",), ("tests/engine/test_signals.py",)],
    "flowctl/store/why.*": [("tests/store/test_why.py",), ("tests/engine/test_why.py",)],
    "flowctl/store/*": [],
    "schema.sql": [("tests/store/test_schema.py",)],
    "flowctl/sdk/replay.py": [("tests/sdk/test_replay.py", "tests/sdk/test_executor_replay.py")],
    "flowctl/sdk/gather.py": [("tests/sdk/test_executor_gather.py",)],
    "flowctl/core/policy.py": [("tests/faults/test_h_retries.py",)],
    "flowctl/engine/claim.py": [("tests/faults/test_c_lock.py",), ("tests/faults/test_c_fencing.py",)],
    "flowctl/engine/recovery.py": [("tests/faults/test_a_crash.py",)],
    "flowctl/engine/closing.py": [("tests/engine/test_children.py", "tests/faults/test_g_cancellation.py")],
}


def stages_of(path: str) -> list[Stage]:
    """Return the tests that have to notice a change of this file, in the order in which they are tried."""
    first = next((stages for pattern, stages in _STAGES.items() if fnmatch(path, pattern)), [])
    if path.startswith("flowctl/store") or path == "schema.sql":
        return [*first, _STORE]  # what the store promises, its own tests have to prove
    return [*first, _ENGINE, _REST]
