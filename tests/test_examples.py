"""Every example runs through the real command line, offline, and does what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from flowctl.core.config import default_database
from flowctl.core.errors import FlowctlError
from flowctl.store import Store
from tests.conftest import FLOWCTL, ROOT

EXAMPLES = ROOT / "examples"


def steps_of(run: dict) -> list[str]:
    return [step["key"] for step in run["steps"]]


def runs_of(flowctl, workflow: str) -> list[dict]:
    return flowctl("ls", "--workflow", workflow, "--json").json


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


class TestDataPipeline:
    FILE = EXAMPLES / "data_pipeline" / "pipeline.py"

    def test_it_turns_the_sales_into_a_report_and_names_what_it_left_out(self, flowctl, tmp_path):
        run = flowctl("run", "--json", self.FILE).json
        assert ["survey", "load", "load#2", "load#3", "load#4", "load#5", "summarise", "write_report"] == steps_of(run)
        assert 195 == run["output"]["sales"]
        assert [19, 60, 103, 135, 178] == [line["line"] for line in run["output"]["rejected"]]
        by_region = {name: Decimal(amount) for name, amount in run["output"]["by_region"].items()}
        assert Decimal(run["output"]["revenue"]) == sum(by_region.values())
        report = (tmp_path / "report.md").read_text()
        assert "195 sales" in report
        assert all(f"| {region} | {amount:,.2f} |" in report for region, amount in by_region.items())

    def test_a_killed_run_goes_on_with_the_first_batch_that_is_not_recorded(self, flowctl, tmp_path):
        words = ["run", str(self.FILE), "pace=0.4", "batch_size=10"]
        process = subprocess.Popen(
            [*FLOWCTL, *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: self.finished() >= 3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = self.finished()
        flowctl("resume", "@last")
        run = flowctl("show", "@last", "--json").json
        assert "succeeded" == run["state"]
        assert 195 == run["output"]["sales"]
        repeated = [step["key"] for step in run["steps"] if step["attempts"][1:]]
        assert len(repeated) <= 2  # those that were under way
        assert before < 20

    def finished(self) -> int:
        """Return how many batches are recorded: read from the file, as a command takes longer than some of them."""
        path = default_database(os.environ)
        if not os.path.exists(path):
            return 0
        with suppress(FlowctlError), Store.open(path, read_only=True) as store:
            return sum(step.name == "load" and step.state == "succeeded" for step in store.steps.of_run(1))
        return 0

    def test_a_file_with_other_columns_fails_in_a_sentence(self, flowctl, tmp_path):
        (tmp_path / "other.csv").write_text("a,b\n1,2\n")
        flowctl("run", self.FILE, "source=other.csv", code=1)
        error = flowctl("show", "@last", "--json").json["steps"][0]["error"]
        assert "GiveUp" == error["type"]
        assert "has the columns ['a', 'b']" in error["message"]


class TestOrderProcessing:
    FILE = EXAMPLES / "order_processing" / "orders.py"
    TARGET = f"{FILE}:process_orders"

    @pytest.fixture
    def receipts(self, flowctl) -> dict[str, dict]:
        run = flowctl("run", "--json", self.TARGET).json
        return {receipt["order"]: receipt for receipt in run["output"]}

    def test_each_order_ends_as_its_payment_and_delivery_allow(self, receipts):
        ends = {order: (receipt["state"], receipt["paid_by"]) for order, receipt in receipts.items()}
        assert {
            "A-100": ("shipped", "card"),
            "A-101": ("shipped", "wallet"),
            "A-102": ("shipped", "card"),
            "A-103": ("cancelled", None),
            "A-104": ("cancelled", None),
        } == ends
        assert "12.50" in receipts["A-103"]["note"]
        assert "Antarctica" in receipts["A-104"]["note"]

    def test_what_was_done_for_a_cancelled_order_is_undone(self, receipts, tmp_path):
        entries = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
        done = {order: [entry["kind"] for entry in entries if entry["order"] == order] for order in receipts}
        assert ["reserved", "released"] == done["A-103"]
        assert ["reserved", "charged", "refunded", "released"] == done["A-104"]
        assert len(entries) == len({entry["key"] for entry in entries})

    def test_each_order_is_a_run_and_a_flaky_service_is_asked_again(self, flowctl, receipts):
        orders = runs_of(flowctl, "process_order")
        assert 5 == len(orders)
        number = next(run["run"] for run in orders if run["input"]["order"]["number"] == "A-102")
        charge = next(
            step for step in flowctl("show", str(number), "--json").json["steps"] if step["name"] == "charge_card"
        )
        assert ["failed", "failed"] == [attempt["state"] for attempt in charge["attempts"][:2]]
        assert "succeeded" == charge["state"]

    def test_an_order_that_fails_is_undone_by_steps_of_its_own(self, flowctl, receipts):
        orders = runs_of(flowctl, "process_order")
        number = next(run["run"] for run in orders if run["input"]["order"]["number"] == "A-104")
        run = flowctl("show", str(number), "--json").json
        assert "failed" == run["state"]
        assert ["undo-refund", "undo-release"] == steps_of(run)[-2:]


class TestOnboarding:
    FILE = EXAMPLES / "onboarding" / "onboarding.py"
    TARGET = f"{FILE}:onboarding"
    WHO = ("name=Ada", "email=ada@example.org")

    def test_a_user_who_never_comes_is_reminded_and_let_go(self, flowctl, tmp_path):
        run = flowctl("run", "--json", self.TARGET, *self.WHO, "patience=200ms").json
        assert run["output"]["active"] is False
        subjects = [step["input"]["subject"] for step in run["steps"] if step["name"] == "send_mail"]
        assert ["Welcome!", "Reminder", "Goodbye"] == subjects
        assert all(Path(tmp_path / mail).exists() for mail in run["output"]["mails"])

    def test_a_wait_outlives_its_engine(self, flowctl, tmp_path):
        words = ["run", self.TARGET, *self.WHO, "patience=3s"]
        process = subprocess.Popen(
            [*FLOWCTL, *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: list(tmp_path.glob("accounts/*-welcome!.eml")))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        next(tmp_path.glob("accounts/*/activity.log")).write_text("logged in\n")
        flowctl("resume", "@last")
        run = flowctl("show", "@last", "--json").json
        assert run["output"]["active"] is True
        sleep = next(step for step in run["steps"] if step["kind"] == "sleep")
        assert sleep["duration_ms"] >= 3000
        assert 2 == len(list(tmp_path.glob("accounts/*.eml")))

    def test_a_failure_starts_the_workflow_that_tells_people(self, flowctl):
        flowctl("run", self.TARGET, "name=Ada", "email=nonsense", code=1)
        told = runs_of(flowctl, "onboarding_failed")
        assert ["succeeded"] == [run["state"] for run in told]


class TestSystemBackup:
    FILE = EXAMPLES / "system_backup" / "backup.py"

    def test_an_archive_is_made_verified_and_kept(self, flowctl, tmp_path):
        run = flowctl("run", "--json", self.FILE, f"target={tmp_path / 'kept'}").json
        archive = Path(run["output"]["archive"])
        assert 4 == run["output"]["files"]
        assert archive.stat().st_size == run["output"]["size"]
        listing = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True).stdout
        assert "sample/notes/shopping.md" in listing.splitlines()
        assert run["output"]["sha256"] in (archive.parent / f"{archive.name}.sha256").read_text()
        assert [] == list(archive.parent.glob("*.part"))
        shell = next(step for step in run["steps"] if step["kind"] == "shell")
        assert "tar" == shell["input"]["argv"][0]
        assert 0 == shell["output"]["exit_code"]

    def test_the_oldest_archives_go(self, flowctl, tmp_path):
        target = tmp_path / "kept"
        target.mkdir()
        for day in (1, 2, 3):
            (target / f"sample-2020010{day}T000000.tar.gz").touch()
        run = flowctl("run", "--json", self.FILE, f"target={target}", "keep=2").json
        assert ["sample-20200102T000000.tar.gz", "sample-20200101T000000.tar.gz"] == run["output"]["removed"]
        assert 2 == len(list(target.glob("*.tar.gz")))

    def test_a_target_inside_the_source_is_refused(self, flowctl, tmp_path):
        flowctl("run", self.FILE, f"source={tmp_path}", f"target={tmp_path / 'inside'}", code=1)
        assert not (tmp_path / "inside").exists()


class TestNightlyBackup:
    FILE = EXAMPLES / "nightly_backup.py"

    def test_its_code_makes_the_schedule_which_makes_a_copy_and_keeps_the_newest(self, flowctl, tmp_path):
        flowctl("workflows", "add", self.FILE)
        schedule = flowctl("schedules", "show", "nightly_backup", "--json").json
        assert ("30 2 * * *", "code", 3) == (schedule["expression"], schedule["source"], schedule["pause_after"])
        (tmp_path / "copies" / "sample-2020-01-01").mkdir(parents=True)
        flowctl("schedules", "update", "nightly_backup", "target=copies", "keep=1")
        flowctl("resume", flowctl("schedules", "trigger", "nightly_backup").stdout.strip())
        [run] = runs_of(flowctl, "nightly_backup")
        assert ("succeeded", "nightly_backup") == (run["state"], run["schedule"])
        [copy] = (tmp_path / "copies").iterdir()
        assert f"{copy.name}: 4 files, 1 old copies removed" == flowctl("show", "@last", "--json").json["output"]

    def test_a_copy_that_was_cut_off_is_made_anew(self, flowctl, tmp_path):
        (tmp_path / "copies").mkdir()
        first = flowctl("run", "--json", self.FILE).json["output"]
        [copy] = (tmp_path / "copies").iterdir()
        copy.rename(copy.with_name(f"{copy.name}.part"))
        (tmp_path / "copies" / f"{copy.name}.part" / "half.txt").touch()
        assert first == flowctl("run", "--json", self.FILE).json["output"]
        assert [copy.name] == [path.name for path in (tmp_path / "copies").iterdir()]


# However slowly it is asked on a busy machine: the first request is one too many.
BUSY = """
import server

class Busy(server.Limit):
    asked = 0

    def wait_needed(self):
        self.asked += 1
        return 0.1 if self.asked == 1 else super().wait_needed()

server.Weather.limit = Busy(server.REQUESTS_A_SECOND)
server.main()
"""


class TestApiPoller:
    FILE = EXAMPLES / "api_poller" / "poller.py"
    TARGET = f"{FILE}:poll"

    @pytest.fixture
    def url(self) -> Iterator[str]:
        words, folder = [sys.executable, "-B", "-c", BUSY, "0"], EXAMPLES / "api_poller"
        with subprocess.Popen(
            words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
            server.kill()

    def test_it_obeys_the_limit_and_falls_back_where_nothing_answers(self, flowctl, url):
        run = flowctl("run", "--json", self.TARGET, f"url={url}", "every=100ms").json
        assert 2 == len(run["output"])
        for found in run["output"]:
            fresh = {reading["station"]: reading["fresh"] for reading in found["readings"]}
            assert {"harbour": True, "airport": True, "old town": True, "summit": False, "lighthouse": True} == fresh
            assert -3.5 == next(each["temperature"] for each in found["readings"] if each["station"] == "summit")
        errors = self.errors(flowctl)
        assert "RetryAfter" in errors
        assert "HTTPError" in errors

    def errors(self, flowctl) -> set[str]:
        """Return the types of errors of all attempts, without the modules they come from."""
        return {
            attempt["error"]["type"].rpartition(".")[2]
            for child in runs_of(flowctl, "read_station")
            for step in flowctl("show", str(child["run"]), "--json").json["steps"]
            for attempt in step["attempts"]
            if attempt["error"]
        }


def test_every_example_is_tested_here():
    tested = {value.FILE.relative_to(EXAMPLES).parts[0] for value in globals().values() if hasattr(value, "FILE")}
    tested.add("tested_digest")  # brings its own test, which tests/testing runs
    assert tested == {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_every_example_is_safe_to_replay(flowctl, path):
    if "@workflow" in path.read_text():
        flowctl("workflows", "check", path)


HISTORIES = ROOT / "tests" / "histories"


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_i08_recorded_histories_fit_the_examples_of_today(flowctl, path):
    if "@workflow" in path.read_text() and path.parent.name != "tested_digest":  # that one needs a network
        flowctl("workflows", "check", path, "--histories", HISTORIES)


def test_i08_every_recorded_history_is_of_an_example():
    text = "".join(path.read_text() for path in EXAMPLES.rglob("*.py"))
    functions = [json.loads(path.read_text())["function"] for path in HISTORIES.glob("*.json")]
    assert functions
    assert [] == [name for name in functions if f"def {name}(" not in text]


class TestApproval:
    FILE = EXAMPLES / "approval.py"

    def test_what_a_person_has_approved_is_paid(self, flowctl):
        flowctl("run", self.FILE, "amount=120", "--detach")
        flowctl("signal", "@last", "decision", '{"approved": true, "by": "ada"}')
        assert "paid 120 for books" == flowctl("resume", "@last").json
        assert ["ask", "decision", "pay"] == steps_of(flowctl("show", "@last", "--json").json)

    def test_an_answer_that_is_no_decision_does_not_pay(self, flowctl):
        flowctl("run", self.FILE, "amount=120", "--detach")
        flowctl("signal", "@last", "decision", '{"by": "ada"}')  # nothing waits for it yet, so it is kept
        flowctl("resume", "@last", code=1)
        error = flowctl("show", "@last", "--json").json["steps"][-1]["error"]
        assert "SignalMisfit" == error["type"]
        assert "signal decision does not fit: $.approved is missing" == error["message"]

    def test_a_small_one_needs_no_approval_and_a_refused_one_is_not_paid(self, flowctl):
        assert "paid 12 for books" == flowctl("run", self.FILE, "amount=12").json
        flowctl("run", self.FILE, "amount=120", "--detach")
        flowctl("signal", "@last", "decision", '{"approved": false, "by": "bo", "note": "too much"}')
        assert "refused by bo: too much" == flowctl("resume", "@last").json

    def test_when_nobody_answers_somebody_else_is_asked(self, flowctl):
        assert "nobody has decided" == flowctl("run", self.FILE, "amount=120", "patience=50ms").json
        run = flowctl("show", "@last", "--json").json
        assert ["ask", "decision", "ask#2", "decision#2"] == steps_of(run)
        assert ["SignalTimeout"] * 2 == [step["error"]["type"] for step in run["steps"] if step["error"]]


class TestOrder:
    FILE = EXAMPLES / "order.py"
    TARGET = f"{FILE}:order"

    def entries(self, folder: Path) -> list[str]:
        return [line.partition(" ")[2] for line in (folder / "ledger.txt").read_text().splitlines()]

    def test_an_order_is_delivered(self, flowctl, tmp_path):
        assert "parcel-lamp" == flowctl("run", self.TARGET, "item=lamp").json
        assert ["reserved lamp", "charged 30", "shipped lamp"] == self.entries(tmp_path)

    def test_one_that_cannot_be_delivered_leaves_nothing_behind(self, flowctl, tmp_path):
        flowctl("run", self.TARGET, "item=lamp", "country=AQ", code=1)
        undone = ["refunded charge-30", "released shelf-lamp"]
        assert ["reserved lamp", "charged 30", *undone] == self.entries(tmp_path)
        run = flowctl("show", "@last", "--json").json
        assert ("failed", "StepFailed") == (run["state"], run["error"]["type"])
        assert ["undo-refund", "undo-release"] == steps_of(run)[-2:]
