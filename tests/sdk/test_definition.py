"""@step and @workflow: options, plain calls, bound calls, recorded input."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import inspect
import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from flowctl.sdk.attempt import output_text
from flowctl.sdk.codec import canonical_hash
from flowctl.sdk.context import StepInfo, activate, step_info, step_scope
from flowctl.sdk.definition import BoundCall, Step, Workflow, step, workflow
from flowctl.sdk.errors import DefinitionError, GiveUp, InputError, Unstorable


class Recorder:
    """A runtime that does what the real one does with a call, without an engine."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def call(self, bound: BoundCall[Any]) -> Any:
        text, _ = bound.encode_input()
        self.calls.append((bound.name, text))
        with step_scope(StepInfo(bound.name, 1, "key")):
            value = bound.run()
        return bound.decode_output(output_text(bound.output, value, bound.name, 1 << 20))


@dataclass
class Page:
    url: str
    at: dt.date = dt.date(2026, 1, 1)
    links: list[str] = field(default_factory=list)


@step
def fetch(url: str, depth: int = 1) -> Page:
    """Get a page."""
    return Page(url * depth)


@step(retries=3, backoff="2s", timeout=30, name="summary")
async def summarise(pages: list[Page]) -> str:
    await asyncio.sleep(0)
    return ",".join(page.url for page in pages)


@workflow
def digest(feeds: list[str], top: int = 5) -> str:
    return summarise([fetch(feed) for feed in feeds][:top])


# -- plain calls -------------------------------------------------------------------------------------------------------


def test_outside_a_run_everything_is_a_plain_call() -> None:
    assert Page("aa") == fetch("a", depth=2)
    assert "a" == digest(["a", "b"], top=1)


def test_an_async_step_gives_a_running_loop_its_coroutine() -> None:
    async def main() -> str:
        return await summarise([Page("x")])  # type: ignore[misc]

    assert "x" == asyncio.run(main())


def test_steps_and_workflows_still_look_like_their_functions() -> None:
    assert ("fetch", "Get a page.", __name__) == (fetch.__name__, fetch.__doc__, fetch.__module__)
    assert ["url", "depth"] == list(inspect.signature(fetch).parameters)
    assert "<step summary> <workflow digest>" == f"{summarise!r} {digest!r}"


# -- recorded calls ----------------------------------------------------------------------------------------------------


def test_inside_a_run_calls_go_to_the_runtime_by_name_with_bound_arguments() -> None:
    recorder = Recorder()
    with activate(recorder):
        assert "a" == digest.function(["a", "b"], top=1)
    assert ("fetch", '{"url":"a","depth":1}') == recorder.calls[0]
    assert ("summary", '{"pages":[{"url":"a","at":"2026-01-01","links":[]}]}') == recorder.calls[2]


def test_a_step_called_by_a_body_is_part_of_that_body() -> None:
    @step
    def outer() -> Page:
        assert step_info() is not None
        return fetch("inner")

    recorder = Recorder()
    with activate(recorder):
        assert Page("inner") == outer()
    assert ["outer"] == [name for name, _ in recorder.calls]


def test_bind_makes_no_call_and_names_the_arguments() -> None:
    bound = fetch.bind("a", depth=3)
    assert ("step", "fetch") == (bound.kind, bound.name)
    text, digest_of_text = bound.encode_input()
    assert '{"url":"a","depth":3}' == text
    assert canonical_hash(text).hex() == digest_of_text
    assert Page("aaa") == bound.run() == bound.run_plain()


def test_the_hash_of_one_plain_argument_is_the_canonical_one() -> None:
    @step
    def one(value: Any) -> None: ...

    for value in ("a", "ü", '\x7f"\\', "\ud800", 1, 1.5, True, None, [1], {"b": 1, "a": 2}):
        text, digest_of_text = one.bind(value).encode_input()
        assert canonical_hash(text).hex() == digest_of_text


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {}, r"fetch\(\) needs 'url'"),
        ((1, 2, 3), {}, r"takes 2 positional arguments, not 3"),
        (("a",), {"url": "b"}, "two values for 'url'"),
        (("a",), {"dept": 1}, "no parameter 'dept'; did you mean 'depth'?"),
    ],
)
def test_wrong_arguments_are_a_type_error(args: Any, kwargs: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        fetch.bind(*args, **kwargs)


def test_every_kind_of_parameter_is_recorded_under_its_own_name() -> None:
    @step
    def many(a: int, /, b: int = 2, *rest: dt.date, c: int, d: str = "d", **extra: dt.date) -> Any:
        return (a, b, rest, c, d, extra)

    day = dt.date(2026, 1, 1)
    bound = many.bind(1, 5, day, c=3, e=day)
    assert '{"a":1,"b":5,"rest":["2026-01-01"],"c":3,"d":"d","extra":{"e":"2026-01-01"}}' == bound.encode_input()[0]
    assert (1, 5, (day,), 3, "d", {"e": day}) == bound.run()
    assert (1, 2, (), 3, "d", {}) == many.bind(1, c=3).run()


def test_functions_that_are_wrapped_keep_their_parameters() -> None:
    def doubled(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs) * 2

        return wrapper

    @step
    @doubled
    def word(text: str, *, times: int = 1) -> str:
        return text * times

    assert '{"text":"a","times":2}' == word.bind("a", times=2).encode_input()[0]
    assert "aaaa" == word.bind("a", times=2).run()


def test_sensitive_parameters_reach_the_body_and_never_the_record() -> None:
    @step(sensitive="token")
    def login(user: str, token: Any) -> Any:
        return token

    bound, other = login.bind("ann", {"secret": 1}), login.bind("ann", object())
    assert '{"user":"ann","token":{"$sensitive":true}}' == bound.encode_input()[0]
    assert bound.encode_input() == other.encode_input()
    assert {"secret": 1} == bound.run()


def test_i10_a_body_that_changes_its_arguments_changes_nobody_elses() -> None:
    @step
    def grow(items: list[int], page: Page) -> int:
        items.append(1)
        page.links.append("x")
        return len(items) + len(page.links)

    items, page = [0], Page("a")
    bound = grow.bind(items, page)
    text, _ = bound.encode_input()
    assert [3, 3] == [bound.run(), bound.run()]
    assert ([0], Page("a"), text) == (items, page, bound.encode_input()[0])


def test_k01_refusals_name_the_step_and_the_path() -> None:
    with pytest.raises(Unstorable, match=r"^input of fetch: \$\.url\[1\] is a object"):
        fetch.bind(["a", object()]).encode_input()  # type: ignore[list-item, arg-type]
    bound = fetch.bind("a")
    with pytest.raises(Unstorable, match=r"^output of fetch: \$\.links\[0\] is a function"):
        output_text(bound.output, Page("a", links=[lambda: 0]), bound.name, 1 << 20)  # type: ignore[list-item]


def test_what_a_step_returns_is_not_shared_with_its_body() -> None:
    kept: list[int] = []

    @step
    def numbers() -> list[int]:
        return kept

    with activate(Recorder()):
        numbers().append(1)
    assert [] == kept


def test_async_bodies_run_inside_a_running_loop_too() -> None:
    async def main() -> str:
        return summarise.bind([Page("x")]).run()

    assert "x" == asyncio.run(main())


def test_k06_arguments_of_500_levels_are_recorded_from_a_deep_call_stack() -> None:
    @step
    def keep(value: Any) -> Any:
        return value

    def nested(depth: int) -> Any:
        value: Any = 0
        for _ in range(depth):
            value = [value]
        return value

    def deeper(frames: int) -> str:
        return deeper(frames - 1) if frames else keep.bind(nested(499)).encode_input()[0]

    assert "[" * 499 in deeper(400)
    with pytest.raises(Unstorable, match=r"input of keep: .* 500 levels"):
        keep.bind(nested(501)).encode_input()


# -- options -----------------------------------------------------------------------------------------------------------


def test_options_on_the_wire_leave_out_defaults() -> None:
    assert {} == fetch.wire_options
    assert {"retries": 3, "backoff_ms": 2000, "timeout_ms": 30_000} == summarise.wire_options
    defaults: dict[str, Any] = {"retries": 0, "backoff": "1s", "max_backoff": "5m", "jitter": 0.1, "timeout": None}
    assert {} == summarise.with_options(**defaults).wire_options
    assert {"on_crash": "block", "pure": True} == fetch.with_options(on_crash="block", pure=True).wire_options


def test_with_options_changes_a_copy() -> None:
    other = summarise.with_options(retries=0, name="other")
    assert ("other", {"backoff_ms": 2000, "timeout_ms": 30_000}) == (other.name, other.wire_options)
    assert ("summary", 3) == (summarise.name, summarise.options.retries)
    assert "x" == other([Page("x")])
    with pytest.raises(Unstorable, match=r"^input of other: "):
        other.bind([object()]).encode_input()  # type: ignore[list-item]
    hidden = summarise.with_options(sensitive="pages")
    assert '{"pages":{"$sensitive":true}}' == hidden.bind([Page("x")]).encode_input()[0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"retires": 1}, "unknown option 'retires'; did you mean 'retries'?"),
        ({"breaker": 5}, "breaker: "),
        ({"schedule": "@daily"}, "unknown option 'schedule'"),
        ({"retries": -1}, "retries: -1 is not a whole number"),
        ({"retries": True}, "retries: True is not a whole number"),
        ({"retries": "3"}, "retries: '3' is not a whole number"),
        ({"backoff": "soon"}, "backoff: 'soon' is not a duration"),
        ({"backoff": "10m", "max_backoff": "5m"}, "backoff .10m. is longer than max_backoff"),
        ({"timeout": 0}, "timeout: it must be longer"),
        ({"timeout": -1}, "timeout: -1 is a negative duration"),
        ({"total_timeout": float("nan")}, "total_timeout: nan is not a duration"),
        ({"jitter": 2}, "jitter: 2 is not a fraction"),
        ({"on_crash": "ask"}, "on_crash: 'ask' is not one of 'rerun', 'block'"),
        ({"pure": 1}, "pure: 1 is not True or False"),
        ({"retry_on": "ValueError"}, "retry_on: 'ValueError' is not an exception type"),
        ({"give_up_on": (ValueError, int)}, "give_up_on: <class 'int'> is not an exception type"),
        ({"retry_on": KeyboardInterrupt}, "retry_on: .* is not an exception type"),
        ({"sensitive": ("tokn",)}, "sensitive: unknown parameter 'tokn'; did you mean 'token'?"),
        ({"sensitive": 5}, "sensitive: 5 is not a parameter name"),
        ({"name": "a#2"}, "name: 'a#2' is not a name"),
        ({"name": ""}, "name: '' is not a name"),
        ({"name": "a\x1b[31m"}, "is not a name"),
        ({"name": "x" * 201}, "is not a name"),
    ],
)
def test_a_wrong_option_of_a_step_is_named_with_its_function(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem) as refused:

        @step(**options)
        def login(token: str) -> None: ...

    assert str(refused.value).startswith("@step login: ")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"retries": 1}, "unknown option 'retries'"),
        ({"prioritty": 1}, "unknown option 'prioritty'; did you mean 'priority'?"),
        ({"attempts": 0}, "attempts: 0 is not a whole number from 1"),
        ({"tags": {"a": 1}}, "tags: .* is not a dict of text"),
        ({"isolation": "none"}, "isolation: 'none' is not one of"),
        ({"queue": ""}, "queue: '' is not a name"),
        ({"on_failure": "alarm"}, "on_failure: give another @workflow"),
        ({"on_failure": fetch}, "on_failure: give another @workflow"),
        ({"on_failure": digest}, "on_failure: digest has 2 parameters"),
    ],
)
def test_a_wrong_option_of_a_workflow_is_named_with_its_function(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem) as refused:

        @workflow(**options)
        def nightly() -> None: ...

    assert str(refused.value).startswith("@workflow nightly: ")


def test_a_handler_of_failures_is_described_for_the_engine() -> None:
    @workflow
    def alarm(run: dict[str, Any]) -> None: ...

    @workflow(on_failure=alarm, tags={"team": "a"}, timeout="1h", attempts=2, queue="slow", isolation="process")
    def nightly() -> None: ...

    expected = {
        "timeout_ms": 3_600_000,
        "attempts": 2,
        "queue": "slow",
        "tags": {"team": "a"},
        "on_failure": {"path": __file__, "function": "alarm", "workflow": "alarm", "parameter": "run"},
        "isolation": "process",
    }
    bound = nightly.bind()
    assert expected == nightly.options.as_json() == bound.wire_fields["workflow_options"]
    assert (__file__, "nightly", "nightly") == tuple(bound.wire_fields[key] for key in ("path", "function", "workflow"))
    assert ("child", {}, None) == (bound.kind, bound.wire_options, bound.source_hash)


def test_retry_on_and_give_up_on_decide_which_failures_are_tried_again() -> None:
    class Unreachable(ConnectionError): ...

    def decide(error: BaseException, **options: Any) -> bool:
        return fetch.with_options(**options).bind("a").retries_on(error)

    assert decide(ValueError())
    assert decide(Unreachable(), retry_on=ConnectionError)
    assert not decide(ValueError(), retry_on=ConnectionError)
    assert not decide(Unreachable(), give_up_on=[ConnectionError], retry_on=OSError)
    assert decide(ValueError(), give_up_on=(KeyError, ConnectionError))
    assert not decide(GiveUp("no"))
    assert not decide(Unstorable("no"))


# -- what cannot be a step or a workflow -------------------------------------------------------------------------------


def _generator() -> Any:
    yield 1


async def _async_generator() -> Any:
    yield 1


async def _async() -> None: ...


def _starred(*feeds: str) -> None: ...


@pytest.mark.parametrize(
    ("decorate", "function", "problem"),
    [
        (step, _generator, "@step _generator: a generator cannot be recorded"),
        (step(retries=1), _async_generator, "a generator cannot be recorded"),
        (step, fetch, "it is already a step"),
        (workflow, fetch, "it is already a step"),
        (step, Page, "@step needs a function, not type"),
        (step, 5, "@step needs a function, not int"),
        (step, lambda: 0, "is not a name|a lambda has no name"),
        (workflow, _async, "@workflow _async: a workflow is a plain `def`"),
        (workflow, _starred, r"names its parameters; \*feeds is for steps"),
    ],
)
def test_what_cannot_be_recorded_is_no_step_or_workflow(decorate: Any, function: Any, problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem):
        decorate(function)


def test_a_lambda_with_a_name_can_be_a_step() -> None:
    assert 6 == step(name="triple")(lambda number: 3 * number).bind(2).run()


# -- recorded input of a workflow --------------------------------------------------------------------------------------


def test_a_recorded_input_becomes_arguments_again() -> None:
    @workflow
    def send(to: str, when: dt.date | None = None, page: Page = Page("d")) -> None: ...  # noqa: B008

    text, _ = send.bind("ann", dt.date(2026, 1, 2), Page("x")).encode_input()
    assert {"to": "ann", "when": dt.date(2026, 1, 2), "page": Page("x")} == send.signature.decode(text)
    assert {"to": "ann", "when": None, "page": Page("d")} == send.signature.decode('{"to":"ann"}')


def test_l03_changed_parameters_are_named() -> None:
    with pytest.raises(
        InputError, match=r"parameters of digest changed: .* has 'old', which is gone; it lacks 'feeds'"
    ):
        digest.signature.decode('{"old":1,"top":2}')
    with pytest.raises(InputError, match=r"digest: \$\.top cannot|digest: \$\.top"):
        digest.signature.decode('{"feeds":[],"top":{"$datetime":"soon"}}')


# -- cost --------------------------------------------------------------------------------------------------------------


def test_importing_definitions_loads_nothing_heavy() -> None:
    heavy = ["inspect", "ast", "asyncio", "dataclasses", "datetime", "decimal", "uuid", "pathlib", "logging", "hashlib"]
    code = f"import sys, flowctl.sdk.definition, flowctl.sdk.signature; print([m for m in {heavy} if m in sys.modules])"
    bare = "import sys, types; m = types.ModuleType('flowctl'); m.__path__ = ['flowctl']; sys.modules['flowctl'] = m; "
    out = subprocess.run([sys.executable, "-S", "-c", bare + code], capture_output=True, text=True, check=True).stdout
    assert "[]" == out.strip()


def test_types_say_what_a_call_gives() -> None:
    assert isinstance(fetch, Step)
    assert isinstance(digest, Workflow)
    assert json.loads(digest.bind(["a"]).encode_input()[0]) == {"feeds": ["a"], "top": 5}
