"""Tests of digest.py: on the real engine, with steps that are answered here and time that passes at once."""

from digest import digest, fetch, mail

from flowctl.testing import Bench


class Mailbox:
    """Answers for `mail`, and keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def __call__(self, text: str) -> int:
        self.sent.append(text)
        return len(text)


def test_the_best_of_each_feed_are_mailed(flowctl_bench: Bench) -> None:
    mailbox = Mailbox()
    flowctl_bench.stub(fetch, lambda url: [f"{url} 1", f"{url} 2"])
    flowctl_bench.stub(mail, mailbox)
    run = flowctl_bench.run(digest, feeds=["a", "b"], top=1)
    assert run.state == "sleeping"
    assert run.steps["fetch#2"].input == {"url": "b"}
    flowctl_bench.advance("10m")
    assert mailbox.sent == ["a 1\nb 1"]
    assert run.output == len("a 1\nb 1")


def test_a_feed_that_does_not_answer_is_asked_again(flowctl_bench: Bench) -> None:
    asked: list[str] = []

    def flaky(url: str) -> list[str]:
        asked.append(url)
        if len(asked) == 1:
            raise ConnectionError("no route")
        return ["news"]

    flowctl_bench.stub(fetch, flaky)
    flowctl_bench.stub(mail, len)
    run = flowctl_bench.run(digest, feeds=["a"])
    flowctl_bench.finish()
    assert run.output == len("news")
    assert run.steps["fetch"].attempts == 2


def test_only_a_crash_before_the_record_mails_twice(flowctl_bench: Bench) -> None:
    mailbox = Mailbox()
    flowctl_bench.stub(fetch, lambda url: [url])
    flowctl_bench.stub(mail, mailbox)
    for point in flowctl_bench.crash_points(digest, feeds=["a"]):
        mailbox.sent.clear()
        run = flowctl_bench.crash(point)
        assert run.output == len("a")
        assert len(mailbox.sent) == (2 if str(point) == "after mail was done and not recorded" else 1)
