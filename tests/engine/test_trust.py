"""Whose code is taken up by itself: only what nobody else could have put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowctl.engine.trust import distrusted


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flow.py"
    path.write_text("")
    path.chmod(0o644)
    return path


def test_n20_ones_own_file_in_ones_own_folder_is_trusted(file: Path) -> None:
    assert distrusted([str(file), "/nowhere/at/all.py"]) is None


def test_n20_a_file_or_a_folder_above_it_that_everybody_can_write_is_not(file: Path, tmp_path: Path) -> None:
    file.chmod(0o646)
    assert f"every user can write {file}" == distrusted([str(file)])
    file.chmod(0o644)
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    inner = folder / "flow.py"
    inner.write_text("")
    folder.parent.chmod(0o757)
    assert f"every user can write the folder {folder.parent}" == distrusted([str(inner)])
    folder.parent.chmod(0o1757)  # as /tmp: others cannot replace what is not theirs
    assert distrusted([str(inner)]) is None


def test_n20_a_link_does_not_hide_a_folder(file: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "real.py").write_text("")
    shared.chmod(0o777)
    link = tmp_path / "link.py"
    link.symlink_to(shared / "real.py")
    assert f"every user can write the folder {shared}" == distrusted([str(link)])
    shared.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_n20_what_belongs_to_others_is_not_trusted(file: Path) -> None:
    os.chown(file, 0, 12_345)
    file.chmod(0o664)
    assert f"every member of its group can write {file}" == distrusted([str(file)])
    os.chown(file, 12_345, 0)
    assert f"{file} belongs to another user" == distrusted([str(file)])
