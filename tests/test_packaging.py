"""What is shipped: one wheel with the package, its SQL and its data model, and nothing of the workshop."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from flowctl.core.version import VERSION
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def text_of(wheel: zipfile.ZipFile, ending: str) -> str:
    return wheel.read(next(name for name in wheel.namelist() if name.endswith(ending))).decode()


def test_the_wheel_holds_the_package_with_its_sql(wheel):
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "flowctl").rglob("*")
        if path.suffix in (".py", ".sql") and "__pycache__" not in path.parts
    }
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert expected | {"flowctl/schema.sql"} == {name for name in shipped if Path(name).suffix in (".py", ".sql")}
    assert all(name.startswith("flowctl/") for name in shipped)


def test_the_data_model_in_the_wheel_is_the_one_at_the_top(wheel):
    assert (ROOT / "schema.sql").read_text() == wheel.read("flowctl/schema.sql").decode()


def test_the_wheel_knows_its_version_license_and_command(wheel):
    metadata = text_of(wheel, "/METADATA")
    assert f"\nVersion: {VERSION}\n" in metadata
    assert "\nLicense-Expression: MIT\n" in metadata
    assert "flowctl = flowctl.cli.main:main" in text_of(wheel, "/entry_points.txt")


def test_the_installed_program_is_what_the_readme_calls(flowctl):
    assert VERSION in flowctl("--version").stdout


def test_the_lock_names_no_place_and_pins_everything_by_hash():
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|--(index|extra|find|trusted)", lock)
    pinned = re.findall(r"(?m)^([a-z0-9._-]+)==\S+(?: ;[^\\\n]*)? \\$", lock)
    assert len(pinned) == len(re.findall(r"(?m)^[a-z0-9]", lock))


def test_the_lock_holds_every_dependency_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[<>=!\[ ]", each)[0].lower() for each in wanted}
    locked = set(re.findall(r"(?m)^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text()))
    assert set() == names - locked


def test_the_changelog_has_an_entry_for_this_version():
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text()
