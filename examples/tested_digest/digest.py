"""Read some feeds and mail the best of them; test_digest.py beside it shows how a workflow is tested.

flowctl run examples/tested_digest/digest.py feeds:='["https://example.org/a"]'
pytest examples/tested_digest/test_digest.py
"""

from flowctl import gather, sleep, step, workflow


@step(retries=2, backoff="30s", jitter=0)
def fetch(url: str) -> list[str]:
    """Return the titles that a feed has."""
    from urllib.request import urlopen

    with urlopen(url, timeout=10) as page:
        return [line.decode().strip() for line in page]


@step
def mail(text: str) -> int:
    """Send the digest, and return how long it was."""
    print(text)
    return len(text)


@workflow
def digest(feeds: list[str], top: int = 5) -> int:
    """Read the feeds and mail me the best."""
    pages = gather(*[fetch.bind(feed) for feed in feeds], concurrency=4)
    sleep("10m")
    return mail("\n".join(title for page in pages for title in page[:top]))
