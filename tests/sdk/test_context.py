"""Where a call is recorded, and where it is plain."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from flowctl.sdk.context import StepInfo, activate, current, step_info, step_scope


class Recorder:
    def call(self, bound: Any) -> Any:
        return bound


INFO = StepInfo("fetch#2", 3, "key")


def test_a_runtime_is_current_only_inside_its_block() -> None:
    outer, inner = Recorder(), Recorder()
    assert current() is None
    with activate(outer):
        with activate(inner):
            assert current() is inner
        assert current() is outer
    assert current() is None


def test_a_runtime_is_let_go_when_the_block_fails() -> None:
    with pytest.raises(KeyError), activate(Recorder()):
        raise KeyError
    assert current() is None


def test_a_step_body_on_the_same_thread_has_no_runtime_and_knows_its_step() -> None:
    with activate(Recorder()):
        with step_scope(INFO):
            assert (None, INFO) == (current(), step_info())
        assert current() is not None
        assert step_info() is None


def test_other_threads_have_neither() -> None:
    seen: list[object | None] = []
    with activate(Recorder()), step_scope(INFO):
        thread = threading.Thread(target=lambda: seen.extend([current(), step_info()]))
        thread.start()
        thread.join()
    assert [None, None] == seen


def test_async_bodies_know_their_step_in_every_task_and_in_to_thread() -> None:
    async def body() -> list[Any]:
        here, task = step_info(), asyncio.ensure_future(asyncio.to_thread(step_info))
        return [here, await task, current()]

    with activate(Recorder()), step_scope(INFO):
        assert [INFO, INFO, None] == asyncio.run(body())
