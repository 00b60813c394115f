"""What the list of runs shows, in which order, and the views that are saved on the number keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import UsageError
from flowctl.core.model import NewRun, Snapshot, code_of
from flowctl.store import Store
from flowctl.tui.filters import EVENT_FILTER, RUN_FILTER, completed, parse_event_filter, parse_filter, selectors
from flowctl.tui.places import PLACES
from flowctl.tui.views import BUILT_IN, load_views, save_view
from tests.store.scene import Scene
from tests.tui.conftest import on_screen, seen, sees, until


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of flowctl's state, which is not there yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "flowctl"


def submit(db: str, count: int) -> None:
    """Put so many queued runs into the file."""
    code = code_of("", {})
    with Store.open(db) as store, store.transaction():
        store.snapshots.put(Snapshot(code, "", {}), 1)
        new = NewRun(workflow="many", path="", function="", code=code, directory="/", input="1", input_hash=b"x" * 16)
        for _ in range(count):
            store.runs.create(new, 1)


def order(app: Any) -> list[int]:
    return list(app.screen.table.keys)


def test_runs_are_sorted_by_a_key_by_a_click_and_the_other_way_round(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs", "RUN▼")
        await pilot.press("o", "o", "o")
        await sees(pilot, "WORKFLOW▲")
        await until(pilot, lambda: [3, 1, 2] == order(pilot.app))
        await pilot.press("O")
        await until(pilot, lambda: [2, 1, 3] == order(pilot.app))
        line = seen(pilot.app).splitlines().index(next(x for x in seen(pilot.app).splitlines() if "WORKFLOW▼" in x))
        await pilot.click(offset=(seen(pilot.app).splitlines()[line].index("STATE") + 1, line))
        await sees(pilot, "STATE▲")
        await until(pilot, lambda: [3, 1, 2] == order(pilot.app))

    on_screen(db, journey)


def test_a_number_shows_its_view_and_a_filter_is_saved_on_one(
    db: str, shop: Callable[..., str], state_home: Path
) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("4")
        await sees(pilot, "1 run · is:dead")
        await pilot.press("7")
        await sees(pilot, "no view is saved on 7")
        await pilot.press("slash", *[*" workflow:shop"], "home", *["delete"] * 7, "enter")
        await sees(pilot, "2 runs · workflow:shop")
        await pilot.press("ctrl+s")
        await sees(pilot, "Keep workflow:shop on which number?", "4 is:dead")
        await pilot.press("7")
        await sees(pilot, "7 shows workflow:shop")
        await pilot.press("1")
        await sees(pilot, "3 runs")
        await pilot.press("7")
        await sees(pilot, "2 runs · workflow:shop")

    on_screen(db, journey)
    assert {"7": "workflow:shop"} == json.loads((state_home / "views.json").read_text())
    assert [0o600, 0o700] == [path.stat().st_mode & 0o777 for path in (state_home / "views.json", state_home)]
    assert ["views.json"] == [path.name for path in state_home.iterdir()]


def test_a_bad_file_of_views_is_told_of_and_left_as_it_is(db: str, shop: Callable[..., str], state_home: Path) -> None:
    state_home.mkdir(parents=True)
    (state_home / "views.json").write_text("[")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("2")
        await sees(pilot, "the saved views in", "mend the file, or remove it")
        await pilot.press("ctrl+s")
        assert "which number" not in seen(pilot.app)

    on_screen(db, journey)
    assert "[" == (state_home / "views.json").read_text()


@pytest.mark.parametrize(
    "text", ["[]", '{"0": "x"}', '{"1": 2}', "\udcff".encode("utf-8", "surrogatepass").decode("latin1")]
)
def test_views_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "views.json").write_text(text)
    with pytest.raises(UsageError):
        load_views(tmp_path / "views.json")


def test_views_are_those_built_in_until_they_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "views.json"
    assert BUILT_IN == load_views(path)
    save_view(path, "1", "state:failed")
    save_view(path, "9", "x")
    assert BUILT_IN | {"1": "state:failed", "9": "x"} == load_views(path)
    save_view(path, "1", "")
    assert {"9": "x"} == json.loads(path.read_text())


def test_what_is_typed_is_completed_and_corrected(db: str, shop: Callable[..., str]) -> None:
    shop("exec", "-q", "--tag", "team=a", "--", "true")

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "4 runs")
        await pilot.press("slash", *"state:faild")
        await sees(pilot, "there is no state 'faild': did you mean failed?")
        await pilot.press(*["backspace"] * 2)
        line = pilot.app.screen.query_one("FilterLine")
        await until(pilot, lambda: "state:failed" == line._suggestion)
        await pilot.press("tab", *" wor")
        await until(pilot, lambda: line._suggestion.endswith("workflow:"))
        await pilot.press("right", *"rat")
        await until(pilot, lambda: line._suggestion.endswith("workflow:ratio"))
        await pilot.press("tab", "enter")
        await sees(pilot, "1 run · state:failed workflow:ratio")
        await pilot.press("slash", *"nonsense", "escape")
        await sees(pilot, "1 run · state:failed workflow:ratio")
        assert "nonsense" not in seen(pilot.app)
        await pilot.press("escape", "slash", *"tag:t")
        await until(pilot, lambda: "tag:team=a" == line._suggestion)

    on_screen(db, journey)


def test_a_filter_becomes_the_options_of_a_command_where_it_has_such() -> None:
    options = ("--state=failed", "--workflow=two words", "--tag=k=v", "--since=2d", "--dead")
    assert options == selectors('since:2d state:failed workflow:"two words" tag:k=v is:dead')
    assert () == selectors("")
    assert None is selectors("state:failed needle") is selectors("queue:mail")
    assert "mail" == parse_filter("queue:mail", "default", 0).queue


def test_a_filter_of_the_audit_log() -> None:
    assert (42, None) == parse_event_filter("42", "default", 0, 5)[1:3]
    assert "queue mail" == parse_event_filter('subject:"queue mail"', "default", 0, 5).subject
    for text in ("mail", "run:x", "run:1 subject:x", "run:٣", "1" * 30):
        with pytest.raises(UsageError):
            parse_event_filter(text, "default", 0, 5)


def test_only_names_that_need_no_quotes_are_offered() -> None:
    names = {"workflow": ["a b", "a'b", "a\x1b[2J", "aa"]}
    assert "workflow:aa" == completed("workflow:a", RUN_FILTER, names)
    assert "run:" == completed("r", EVENT_FILTER, {})


def test_new_runs_appear_while_a_list_of_thousands_keeps_its_place(db: str) -> None:
    submit(db, 5_000)

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "5,000 runs")
        table = pilot.app.screen.table
        submit(db, 1)
        await sees(pilot, "5,001 runs", "5001 ○ queued")  # at its top the list shows what is new
        assert (5_000, 0) == (table.key, table.scroll_offset.y)
        table.action_page(40)
        await until(pilot, lambda: table.scroll_offset.y > 0)
        before, place = table.key, table.cursor - table.scroll_offset.y
        submit(db, 1_000)
        await sees(pilot, "6,001 runs", f"{before} ○ queued")
        await until(pilot, lambda: (before, place) == (table.key, table.cursor - table.scroll_offset.y))
        table.scroll_to(y=10, animate=False)  # the cursor is out of sight: what is read stays where it is
        await until(pilot, lambda: 10 == table.scroll_offset.y)
        top = table.keys[10]
        submit(db, 3)
        await sees(pilot, "6,004 runs", f"{top} ○ queued")
        await until(pilot, lambda: (13, before) == (table.scroll_offset.y, table.key))

    on_screen(db, journey)


def test_the_palette_lists_every_place_what_can_be_done_and_the_views(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs", "✗ failed")
        offered = [command.title for command in pilot.app.get_system_commands(pilot.app.screen)]
        assert len(offered) == len({*offered})
        assert {f"Go to {place.title}" for place in PLACES} <= {*offered}
        assert {"Retry", "Filter", "Sort", "Show view 3", "Save this view", "Mark", "Theme", "Quit"} <= {*offered}
        assert "Cancel" not in offered  # a failed run cannot be cancelled
        await pilot.press("colon", *"show view 3", "enter")
        await sees(pilot, "1 run · state:failed")
        await pilot.press("colon", *"go to dead", "enter")
        await sees(pilot, "ratio user error ZeroDivisionError")

    on_screen(db, journey)


def test_the_keys_of_the_place_are_shown(db: str, shop: Callable[..., str]) -> None:
    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "3 runs")
        await pilot.press("question_mark")
        await sees(pilot, "Keys", "Sort the other way round", "Save this view", "Mark all, or none", "Copy command")

    on_screen(db, journey, size=(80, 60))


def test_the_time_of_what_runs_goes_on(db: str, flowctl: Callable[..., str]) -> None:
    with Store.open(db) as store:
        scene = Scene(store)
        scene.now = SYSTEM_CLOCK.now()
        scene.held()

    async def journey(pilot: Pilot[Any]) -> None:
        await sees(pilot, "▶ running")
        shown = pilot.app.screen.table._rows[1][4]
        await until(pilot, lambda: shown != pilot.app.screen.table._rows[1][4])

    on_screen(db, journey)
