"""Copy a folder every night, and keep the newest copies.

    flowctl workflows add examples/nightly_backup.py
    flowctl next nightly_backup
    flowctl daemon start

The schedule stands with the code. A laptop that was asleep at half past two makes its copy when it wakes, one however
many nights it slept, but no more than 20 hours late. After three failures in a row the schedule pauses itself.

    flowctl schedules trigger nightly_backup
    flowctl slots nightly_backup
    flowctl why nightly_backup --at 02:30
"""

import shutil
from pathlib import Path

from flowctl import now, step, workflow

HERE = Path(__file__).resolve().parent


@step(retries=2, backoff="1m", timeout="2h")
def copy(source: Path, copy_to: Path) -> int:
    """Copy a folder under another name first: a copy with the right name is whole. Return the number of files."""
    copy_to.parent.mkdir(parents=True, exist_ok=True)
    draft = copy_to.with_name(f"{copy_to.name}.part")
    if draft.exists():  # of an attempt that was cut off
        shutil.rmtree(draft)
    shutil.copytree(source, draft)
    if copy_to.exists():
        shutil.rmtree(copy_to)
    draft.rename(copy_to)
    return sum(1 for path in copy_to.rglob("*") if path.is_file())


@step
def remove_old(target: Path, prefix: str, keep: int) -> list[str]:
    """Remove all but the newest copies of this source; return what was removed."""
    copies = sorted((path for path in target.glob(f"{prefix}-*") if path.suffix != ".part"), reverse=True)
    for old in copies[keep:]:
        shutil.rmtree(old)
    return [old.name for old in copies[keep:]]


@workflow(
    schedule={"cron": "30 2 * * *", "catch_up": "latest", "window": "20h", "overlap": "skip", "pause_after": 3},
    timeout="6h",
    tags={"kind": "backup"},
)
def nightly_backup(
    source: Path = HERE / "system_backup" / "sample", target: Path = Path("copies"), keep: int = 7
) -> str:
    """Copy a folder and keep the newest few copies."""
    if keep < 1:
        raise ValueError("keep must be at least 1")
    name = f"{source.name}-{now():%Y-%m-%d}"
    files = copy(source, target / name)
    removed = remove_old(target, source.name, keep)
    return f"{name}: {files} files, {len(removed)} old copies removed"
