"""The four kinds of channels: how one message reaches a person. It runs in a process of its own, which may hang or die.

python -c BOOT FOLDER      a Delivery as JSON on stdin; exit code 0 when it was delivered, else the reason on stderr
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from flowctl.core.errors import FlowctlError, NotPermitted, UsageError
from flowctl.core.text import safe_line, shorten
from flowctl.core.version import VERSION
from flowctl.engine.interpreter import own_python

REMOTE_TIMEOUT_S = 10
COMMAND_TIMEOUT_S = 60
LONGEST_ERROR = 300
_SENDMAIL = ("/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/sendmail")
# The folder of the package comes first on the path, and the current folder never does.
_BOOT = "import sys; sys.path[0] = sys.argv.pop(1); from flowctl.engine.channels import main; main()"


class Delivery(NamedTuple):
    """A message and the channel that it goes to. `message` is what a webhook and a command are given."""

    kind: str
    settings: dict[str, Any]
    message: dict[str, Any]
    timestamp: int  # seconds since 1970


class NotDelivered(FlowctlError):
    """A message did not reach anybody."""


def command_line() -> list[str]:
    """Return the words that start the process of a delivery."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [*own_python(), "-c", _BOOT, folder]


def main() -> NoReturn:
    """Deliver what stdin says."""
    try:
        deliver(Delivery(**json.load(sys.stdin)), os.environ)
    except FlowctlError as error:
        sys.exit(shorten(safe_line(error.message), LONGEST_ERROR))
    sys.exit(0)


def deliver(delivery: Delivery, environ: Mapping[str, str]) -> None:
    """Deliver a message. Raises NotDelivered, UsageError or NotPermitted, which say why not."""
    _KINDS[delivery.kind](delivery, environ)


# -- a command


def _command(delivery: Delivery, environ: Mapping[str, str]) -> None:
    """Run a shell command: the message is JSON on its stdin and in its environment, never among its words."""
    variables = {f"FLOWCTL_NOTICE_{name.upper()}": _text(value) for name, value in delivery.message.items()}
    words = ["/bin/sh", "-c", delivery.settings["command"]]
    _run(words, json.dumps(delivery.message) + "\n", COMMAND_TIMEOUT_S, {**environ, **variables})


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _run(words: list[str], text: str, timeout_s: int, environ: Mapping[str, str]) -> None:
    name = os.path.basename(words[0]) if words[0] != "/bin/sh" else "the command"
    try:
        done = subprocess.run(
            words, input=text, env=dict(environ), capture_output=True, text=True, errors="replace",
            timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotDelivered(f"{name} took longer than {timeout_s} s") from None
    except OSError as error:
        raise NotDelivered(f"{name} cannot be started: {error.strerror}") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise NotDelivered(f"{name} ended with exit code {done.returncode}" + (f": {said}" if said else ""))


# -- the desktop


def _desktop(delivery: Delivery, environ: Mapping[str, str]) -> None:
    """Show it on the desktop. Others may see a program's words, so what a run said of its error stays out of them."""
    program = shutil.which("notify-send", path=environ.get("PATH"))
    if program is None:
        raise NotDelivered("there is no notify-send", "Install libnotify.")
    message = delivery.message
    run = "" if message["run"] is None else f"flowctl show {message['run']}"
    from html import escape

    words = [program, "--app-name=flowctl", "--", f"flowctl: {message['subject']}: {message['kind']}", escape(run)]
    _run(words, "", REMOTE_TIMEOUT_S, environ)


# -- a webhook


def _webhook(delivery: Delivery, environ: Mapping[str, str]) -> None:
    """POST it as JSON, signed when the channel has a secret. Anything but 2xx is a failure, a redirect too."""
    from urllib import error, request

    body = json.dumps(delivery.message).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"flowctl/{VERSION}",
        "Flowctl-Timestamp": str(delivery.timestamp),
    }
    secret = read_secret(delivery.settings, environ)
    if secret is not None:
        headers["Flowctl-Signature"] = signature(secret, delivery.timestamp, body)
    asked = request.Request(delivery.settings["url"], body, headers, method="POST")
    try:
        with request.build_opener(_no_redirect()).open(asked, timeout=REMOTE_TIMEOUT_S) as answer:
            code = answer.status
    except error.HTTPError as refused:
        code = refused.code
        refused.close()
    except (OSError, ValueError) as failure:
        raise NotDelivered(f"the webhook cannot be reached: {getattr(failure, 'reason', failure)}") from None
    if not 200 <= code < 300:
        raise NotDelivered(f"the webhook answered {code}")


def _no_redirect() -> Any:
    from urllib.request import HTTPRedirectHandler

    class Refusing(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    return Refusing()


def signature(secret: bytes, timestamp: int, body: bytes) -> str:
    """Return `v1=` and the HMAC-SHA256 of `timestamp.body` in hexadecimal."""
    import hmac

    return "v1=" + hmac.digest(secret, f"{timestamp}.".encode() + body, "sha256").hex()


def read_secret(settings: Mapping[str, Any], environ: Mapping[str, str]) -> bytes | None:
    """Return the secret that the settings refer to: a variable, or a file that nobody else may read."""
    if name := settings.get("secret_env"):
        if not environ.get(name):
            raise UsageError(f"the variable {name}, which holds the secret, is not set", "Use --secret-file instead.")
        return environ[name].encode()
    path = settings.get("secret_file")
    return None if path is None else _private_text(path).strip()


def _private_text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or found.st_uid not in (0, os.geteuid()):
                raise NotPermitted(f"others may read the secret in {path}", f"Forbid it with: chmod 600 {path}")
            return file.read(4096)
    except OSError as error:
        raise NotPermitted(f"the secret in {path} cannot be read: {error.strerror}") from None


# -- mail


def _mail(delivery: Delivery, environ: Mapping[str, str]) -> None:
    """Send it by SMTP, or with the machine's own sendmail."""
    from email.message import EmailMessage

    mail = EmailMessage()
    mail["To"] = delivery.settings["to"]
    mail["Subject"] = f"flowctl: {delivery.message['subject']}: {delivery.message['kind']}"
    if sender := delivery.settings.get("from"):
        mail["From"] = sender
    run = delivery.message["run"]
    mail.set_content(delivery.message["text"] + ("" if run is None else f"\n\nflowctl show {run}") + "\n")
    if server := delivery.settings.get("smtp"):
        _smtp(server, mail)
        return
    program = next((each for each in (shutil.which("sendmail"), *_SENDMAIL) if each and os.access(each, os.X_OK)), None)
    if program is None:
        raise NotDelivered("there is no sendmail", "Name a server with --smtp HOST:PORT --from ADDRESS.")
    _run([program, "-t", "-oi"], mail.as_string(), COMMAND_TIMEOUT_S, environ)


def _smtp(server: str, mail: Any) -> None:
    import smtplib
    import ssl

    host, _, port = server.rpartition(":")
    try:
        with smtplib.SMTP(host.strip("[]"), int(port), timeout=REMOTE_TIMEOUT_S) as connection:
            connection.ehlo()
            if connection.has_extn("starttls"):
                connection.starttls(context=ssl.create_default_context())
            connection.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        raise NotDelivered(f"the mail server {server} did not take it: {error}") from None


_KINDS: dict[str, Callable[[Delivery, Mapping[str, str]], None]] = {
    "command": _command,
    "desktop": _desktop,
    "webhook": _webhook,
    "mail": _mail,
}
