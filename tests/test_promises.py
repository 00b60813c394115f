"""The mutation tool does what it says, and each promise that it breaks is missed by a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.mutation import python_mutants, sql_mutants
from tests.mutation.__main__ import all_mutants
from tests.mutation.laboratory import Laboratory
from tests.mutation.promises import BREAKS, Break
from tests.mutation.targets import stages_of


def _changed(mutants: object) -> set[str]:
    assert isinstance(mutants, list)
    return {mutant.text for mutant in mutants}


def test_each_condition_of_sql_is_left_out_and_each_guard_turned_round() -> None:
    source = "UPDATE runs SET state = 'x' WHERE id = :run AND (epoch = :epoch OR key = :key) RETURNING id"
    assert _changed(list(sql_mutants.mutants_of("x.sql", source))) == {
        source.replace("id = :run", "1"),
        source.replace("(epoch = :epoch OR key = :key)", "1"),
        source.replace("(epoch = :epoch OR key = :key)", "NOT ((epoch = :epoch OR key = :key))"),
        source.replace("epoch = :epoch", "0"),
        source.replace("epoch = :epoch", "NOT (epoch = :epoch)"),
        source.replace("key = :key", "0"),
    }


def test_each_constraint_and_trigger_of_a_schema_goes() -> None:
    source = "CREATE TABLE t (x CHECK (x > (1)));\nCREATE TRIGGER g BEFORE DELETE ON t BEGIN\n SELECT 1;\nEND;\n"
    gone = source.partition("\n")[0] + "\n\n"
    assert {source.replace("(x > (1))", "(1)"), gone} == _changed(list(sql_mutants.mutants_of_schema("s.sql", source)))


def test_each_decision_of_python_is_changed() -> None:
    source = "def f(a: int = 1) -> bool:\n    if a < 2 and g(a):\n        h()\n    return True\n"
    assert _changed(list(python_mutants.mutants_of("x.py", source))) == {
        source.replace("= 1", "= 2"),
        source.replace("= 1", "= (0)"),
        source.replace("a < 2 and g(a)", "(a < 2 or g(a))"),
        source.replace("a < 2", "(a <= 2)"),
        source.replace("< 2", "< 3"),
        source.replace("< 2", "< (1)"),
        source.replace("h()", "pass"),
        source.replace("return True", "return None"),
        source.replace("True", "False"),
    }


def test_every_mutated_file_has_tests_that_exist() -> None:
    paths = {mutant.path for mutant in all_mutants("*")}
    assert {"schema.sql", "flowctl/store/steps.sql", "flowctl/sdk/replay.py", "flowctl/engine/recovery.py"} <= paths
    for path in paths:
        for stage in stages_of(path):
            assert all((ROOT / word).exists() for word in stage if not word.startswith("-")), path


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    return Laboratory(tmp_path_factory.mktemp("laboratory") / "copy")


@pytest.mark.parametrize(
    "each", [each for each in BREAKS if not each.slow], ids=lambda each: each.promise.partition(":")[0]
)
def test_a_promise_that_is_broken_on_purpose_fails_its_first_named_test(each: Break, laboratory: Laboratory) -> None:
    assert laboratory.judge(each.changes(), [each.tests[:1]]).startswith(each.tests[0])


def test_the_code_that_is_broken_and_the_tests_that_notice_are_there() -> None:
    for each in BREAKS:
        assert each.changes()
        for test in each.tests:
            path, _, name = test.partition("::")
            assert f"def {name}(" in Path(ROOT / path).read_text()
