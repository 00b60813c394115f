"""Poll an HTTP API politely: few at a time, wait when told to, fall back to the last known answer.

    python examples/api_poller/server.py            # in one terminal: a small weather service; prints its address
    flowctl run examples/api_poller/poller.py:poll url=http://127.0.0.1:8000

The service limits its clients: beyond five requests a second it answers 429 and says in Retry-After how long to wait,
and the step passes that on with RetryAfter. One of its stations is broken and answers 503 until the retries are used
up: then its last known reading serves, marked as old.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from flowctl import GiveUp, RetryAfter, StepFailed, gather, now, sleep, step, workflow

HERE = Path(__file__).parent


@dataclass
class Reading:
    station: str
    temperature: float
    fresh: bool


@dataclass
class Round:
    at: datetime
    readings: list[Reading]


@step(retries=5, backoff="100ms", max_backoff="1s", timeout="10s", total_timeout="1m", give_up_on=ValueError)
def fetch(url: str, station: str) -> float:
    """Ask the service for the temperature at one station."""
    address = f"{url.rstrip('/')}/stations/{urllib.parse.quote(station)}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return float(json.load(answer)["temperature"])
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 429:
            raise RetryAfter(seconds(error.headers["Retry-After"]), "the service asks to wait") from None
        if 400 <= error.code < 500:
            raise GiveUp(f"{station}: the service says {error.code} {error.reason}") from None
        raise


def seconds(retry_after: str) -> float:
    """Return the seconds that a Retry-After header asks for: a number, or a date."""
    if retry_after.strip().replace(".", "", 1).isdigit():
        return float(retry_after)
    when = parsedate_to_datetime(retry_after)
    return max(0.0, (when - datetime.now(when.tzinfo)).total_seconds())


@step
def last_known(path: Path, station: str) -> float:
    """Return the reading that was kept for a day like this."""
    return float(json.loads(path.read_text(encoding="utf-8"))[station])


@workflow
def read_station(url: str, station: str, known: Path) -> Reading:
    """Read one station, or else fall back to what is known of it."""
    try:
        return Reading(station, fetch(url, station), fresh=True)
    except StepFailed as failure:
        print(f"{station}: {failure.message}; using the last known reading")
        return Reading(station, last_known(known, station), fresh=False)


@workflow
def poll(
    url: str,
    stations: tuple[str, ...] = ("harbour", "airport", "old town", "summit", "lighthouse"),
    rounds: int = 2,
    every: str = "1s",
    known: Path = HERE / "last_known.json",
) -> list[Round]:
    """Read all stations, several times."""
    found = []
    for number in range(rounds):
        if number:
            sleep(every)
        calls = [read_station.bind(url, station, known) for station in stations]
        found.append(Round(now(), gather(*calls, concurrency=2)))
    return found
