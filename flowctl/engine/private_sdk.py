"""The folder that puts flowctl.sdk, and nothing else of flowctl, on the path of a user's interpreter."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from _blake2 import blake2b  # hashlib would load OpenSSL
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from flowctl.core.errors import NotPermitted


def sdk_folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return a private folder that holds only flowctl/__init__.py and flowctl/sdk, made on first use.

    One folder for each content, under $XDG_CACHE_HOME/flowctl or the first private place that can be written.
    A file in it that is missing or was changed is put right. Raises NotPermitted when there is no such place.
    """
    wanted = dict(_sources())
    name = "sdk-" + _content_hash(wanted)
    for base in _places(environ):
        with contextlib.suppress(OSError):
            if _is_private(base):
                return _provide(base / name, wanted)
    raise NotPermitted(
        "no private folder can be made for the part of flowctl that runs beside your code",
        "set XDG_CACHE_HOME to a folder that is yours and can be written",
    )


def _sources() -> Iterator[tuple[str, bytes]]:
    package = resources.files("flowctl")
    yield "flowctl/__init__.py", (package / "__init__.py").read_bytes()
    yield from _modules(package / "sdk", "flowctl/sdk")


def _modules(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.name.endswith(".py") or entry.name == "py.typed":
            yield f"{prefix}/{entry.name}", entry.read_bytes()


def _content_hash(files: Mapping[str, bytes]) -> str:
    digest = blake2b(digest_size=10)
    for path, content in files.items():
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    for base in (environ.get("XDG_CACHE_HOME"), _home_cache(environ), environ.get("XDG_RUNTIME_DIR")):
        if base and os.path.isabs(base):
            yield Path(base) / "flowctl"
    yield Path(tempfile.gettempdir()) / f"flowctl-{os.geteuid()}"


def _home_cache(environ: Mapping[str, str]) -> str | None:
    home = environ.get("HOME")
    return os.path.join(home, ".cache") if home else None


def _is_private(folder: Path) -> bool:
    """Make the folder if need be; tell whether only this user can write there.

    In a place that others can write, somebody else may have made it first: then code put there could be theirs.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return False
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return True


def _provide(folder: Path, wanted: Mapping[str, bytes]) -> str:
    if not folder.exists():
        _build(folder, wanted)
    if not _is_private(folder):
        raise PermissionError(folder)
    _mend(folder, wanted)
    return str(folder)


def _build(folder: Path, wanted: Mapping[str, bytes]) -> None:
    """Make the whole folder under another name and move it into place: others see all of it or nothing."""
    draft = Path(tempfile.mkdtemp(prefix=".sdk-", dir=folder.parent))
    try:
        for path, content in wanted.items():
            target = draft / path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o600)
        with contextlib.suppress(OSError):  # another process was faster: its folder is as good
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _mend(folder: Path, wanted: Mapping[str, bytes]) -> None:
    """Replace what differs file by file: executors that use the folder meanwhile always find a whole file."""
    for path, content in wanted.items():
        target = folder / path
        if _holds(target, content):
            continue
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".mend-", delete=False) as draft:
            draft.write(content)
        os.replace(draft.name, target)
    for stray in _strays(folder, wanted):
        shutil.rmtree(stray, ignore_errors=True) if stray.is_dir() else stray.unlink(missing_ok=True)


def _holds(target: Path, content: bytes) -> bool:
    try:
        return not target.is_symlink() and target.read_bytes() == content
    except OSError:
        return False


def _strays(folder: Path, wanted: Mapping[str, bytes]) -> list[Path]:
    """Return what does not belong there; it could shadow a module of the user's."""
    known = {"flowctl", "flowctl/sdk", "flowctl/__pycache__", "flowctl/sdk/__pycache__", *wanted}
    found = [Path(parent, name) for parent in ("", "flowctl", "flowctl/sdk") for name in os.listdir(folder / parent)]
    return [folder / path for path in found if str(path) not in known and not path.name.startswith(".mend-")]
