"""`flowctl secrets list`: names and sources, and never a value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Outcome


def test_the_list_has_names_and_sources_and_no_value(quick: Callable[..., Outcome], tmp_path: Path) -> None:
    assert "no secrets are known" in quick("secrets", "list").stderr
    folder = tmp_path / ".xdg" / "config" / "flowctl"
    (folder / "secrets").mkdir(parents=True)
    for name, mode in (("GOOD", 0o600), ("OPEN", 0o644)):
        (folder / "secrets" / name).write_text("canary")
        (folder / "secrets" / name).chmod(mode)
    (folder / "config.toml").write_text("[secrets]\nPASS = { command = ['pass', 'canary'], env = 'PASSWORD' }\n")
    outcome = quick("secrets", "list", "--json")
    found = {each["secret"]: each for each in outcome.json}
    assert ["GOOD", "OPEN", "PASS"] == list(found)
    assert f"variable GOOD, then file {folder / 'secrets' / 'GOOD'}" == found["GOOD"]["source"]
    assert found["GOOD"]["problem"] is None
    assert "can be read by others" in found["OPEN"]["problem"]
    assert ("command pass, then variable PASSWORD", None) == (found["PASS"]["source"], found["PASS"]["problem"])
    assert "canary" not in outcome.stdout + quick("secrets", "list").stdout
