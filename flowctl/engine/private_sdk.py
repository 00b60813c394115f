"""The folder that puts flowctl.sdk, and nothing else of flowctl, on the path of a user's interpreter."""

from __future__ import annotations

import contextlib
import os
import stat
from _blake2 import blake2b  # hashlib would load OpenSSL
from collections.abc import Iterator, Mapping

from flowctl.core.errors import NotPermitted

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


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
                return _provide(os.path.join(base, name), wanted)
    raise NotPermitted(
        "no private folder can be made for the part of flowctl that runs beside your code",
        "set XDG_CACHE_HOME to a folder that is yours and can be written",
    )


def _sources() -> Iterator[tuple[str, bytes]]:
    names = [name for name in os.listdir(os.path.join(_PACKAGE, "sdk")) if name.endswith(".py") or name == "py.typed"]
    for path in ("__init__.py", *(f"sdk/{name}" for name in sorted(names))):
        with open(os.path.join(_PACKAGE, path), "rb", buffering=0) as file:
            yield f"flowctl/{path}", file.read()


def _content_hash(files: Mapping[str, bytes]) -> str:
    digest = blake2b(digest_size=10)
    for path, content in files.items():
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _places(environ: Mapping[str, str]) -> Iterator[str]:
    for base in (environ.get("XDG_CACHE_HOME"), _home_cache(environ), environ.get("XDG_RUNTIME_DIR")):
        if base and os.path.isabs(base):
            yield os.path.join(base, "flowctl")
    import tempfile

    yield os.path.join(tempfile.gettempdir(), f"flowctl-{os.geteuid()}")


def _home_cache(environ: Mapping[str, str]) -> str | None:
    home = environ.get("HOME")
    return os.path.join(home, ".cache") if home else None


def _is_private(folder: str) -> bool:
    """Make the folder if need be; tell whether only this user can write there.

    In a place that others can write, somebody else may have made it first: then code put there could be theirs.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return False
    if found.st_mode & 0o077:
        os.chmod(folder, 0o700)
    return True


def _provide(folder: str, wanted: Mapping[str, bytes]) -> str:
    if not os.path.exists(folder):
        _build(folder, wanted)
    if not _is_private(folder):
        raise PermissionError(folder)
    _mend(folder, wanted)
    return folder


def _build(folder: str, wanted: Mapping[str, bytes]) -> None:
    """Make the whole folder under another name and move it into place: others see all of it or nothing."""
    import shutil
    import tempfile

    draft = tempfile.mkdtemp(prefix=".sdk-", dir=os.path.dirname(folder))
    try:
        for path, content in wanted.items():
            target = os.path.join(draft, path)
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)
            os.chmod(target, 0o600)
        with contextlib.suppress(OSError):  # another process was faster: its folder is as good
            os.rename(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _mend(folder: str, wanted: Mapping[str, bytes]) -> None:
    """Replace what differs file by file: executors that use the folder meanwhile always find a whole file."""
    for path, content in wanted.items():
        target = os.path.join(folder, path)
        if not _holds(target, content):
            _put(target, content)
    for stray in _strays(folder, wanted):
        _remove(stray)


def _put(target: str, content: bytes) -> None:
    import tempfile

    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(target), prefix=".mend-", delete=False) as draft:
        draft.write(content)
    os.replace(draft.name, target)


def _remove(stray: str) -> None:
    import shutil

    if os.path.isdir(stray):
        shutil.rmtree(stray, ignore_errors=True)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(stray)


def _holds(target: str, content: bytes) -> bool:
    try:
        with open(target, "rb", buffering=0, opener=_open_no_link) as file:
            return file.read() == content
    except OSError:
        return False


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _strays(folder: str, wanted: Mapping[str, bytes]) -> list[str]:
    """Return what does not belong there; it could shadow a module of the user's."""
    known = {"flowctl", "flowctl/sdk", "flowctl/__pycache__", "flowctl/sdk/__pycache__", *wanted}
    strays = []
    for parent in ("", "flowctl/", "flowctl/sdk/"):
        for name in os.listdir(os.path.join(folder, parent)):
            if parent + name not in known and not name.startswith(".mend-"):
                strays.append(os.path.join(folder, parent, name))
    return strays
