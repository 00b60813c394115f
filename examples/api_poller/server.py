"""A small weather service to poll: it limits its clients, and one of its stations is broken.

python examples/api_poller/server.py [PORT]
"""

import json
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TEMPERATURES = {"harbour": 12.25, "airport": 11.0, "old town": 13.75, "lighthouse": 9.5}
BROKEN = {"summit"}
REQUESTS_A_SECOND = 5


class Limit:
    """Counts the requests of the last second."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()

    def wait_needed(self) -> float:
        """Return 0 and count the request, or return the seconds until there is room."""
        with self._lock:
            moment = time.monotonic()
            while self._recent and moment - self._recent[0] > 1:
                self._recent.popleft()
            if len(self._recent) >= self._allowed:
                return 1 - (moment - self._recent[0])
            self._recent.append(moment)
            return 0.0


class Weather(BaseHTTPRequestHandler):
    limit = Limit(REQUESTS_A_SECOND)

    def do_GET(self) -> None:
        station = unquote(self.path.removeprefix("/stations/"))
        wait = self.limit.wait_needed()
        if wait:
            self.answer(429, {"error": "too many requests"}, {"Retry-After": f"{wait:.3f}"})
        elif station in BROKEN:
            self.answer(503, {"error": "the station does not answer"})
        elif station in TEMPERATURES:
            self.answer(200, {"station": station, "temperature": TEMPERATURES[station]})
        else:
            self.answer(404, {"error": "no such station"})

    def answer(self, code: int, content: dict[str, object], headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with ThreadingHTTPServer(("127.0.0.1", port), Weather) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
