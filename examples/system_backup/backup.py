"""Back a folder up with the tools that are there anyway: tar, sha256sum, find.

    flowctl run examples/system_backup/backup.py
    flowctl run examples/system_backup/backup.py source=/home/me/documents target=/mnt/disk/backups keep=7

Every command is a step: its words, exit code and output are recorded. The archive is written under another name,
compared with the folder, and only then given its own; the old ones go last. A run that was killed goes on with the
command that was under way.
"""

from dataclasses import dataclass
from pathlib import Path

from flowctl import gather, now, sh, step, workflow

HERE = Path(__file__).parent


@dataclass
class Backup:
    archive: Path
    sha256: str
    files: int
    size: int
    removed: list[str]


@step
def check_folders(source: Path, target: Path) -> None:
    """Refuse what would make a useless or an endless backup."""
    if not source.is_dir():
        raise NotADirectoryError(f"{source} is not a folder")
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{target} lies inside {source}: the backup would contain itself")
    target.mkdir(parents=True, exist_ok=True)


@step
def remove_old(target: Path, prefix: str, keep: int) -> list[str]:
    """Remove all but the newest archives of this source, with their checksums; return what was removed."""
    archives = sorted(target.glob(f"{prefix}-*.tar.gz"), reverse=True)
    for archive in archives[keep:]:
        archive.with_name(archive.name + ".sha256").unlink(missing_ok=True)
        archive.unlink(missing_ok=True)
    return [archive.name for archive in archives[keep:]]


@workflow(timeout="6h")
def backup(source: Path = HERE / "sample", target: Path = Path("backups"), keep: int = 3) -> Backup:
    """Make a verified archive of a folder and keep the newest few."""
    if keep < 1:
        raise ValueError("keep must be at least 1")
    check_folders(source, target)

    archive = target / f"{source.name}-{now():%Y%m%dT%H%M%S}.tar.gz"
    draft = f"{archive}.part"
    sh(["tar", "--create", "--gzip", f"--file={draft}", f"--directory={source.parent}", source.name], timeout="2h")

    _, listing, size = gather(
        sh.bind(["tar", "--compare", "--gzip", f"--file={draft}", f"--directory={source.parent}"], timeout="2h"),
        sh.bind(["tar", "--list", "--gzip", f"--file={draft}"], timeout="2h"),
        sh.bind(["stat", "--format=%s", draft]),
    )
    sh(["mv", draft, str(archive)])
    checksum = sh(["sha256sum", archive.name], cwd=target)
    sh(["tee", f"{archive.name}.sha256"], input=checksum.stdout, cwd=target)
    sh(["sha256sum", "--check", "--quiet", f"{archive.name}.sha256"], cwd=target)

    return Backup(
        archive=archive,
        sha256=checksum.stdout.split()[0],
        files=sum(1 for name in listing.stdout.splitlines() if not name.endswith("/")),
        size=int(size.stdout),
        removed=remove_old(target, source.name, keep),
    )
