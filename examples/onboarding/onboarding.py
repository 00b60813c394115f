"""Onboard a user: make the account, welcome them, wait for days, then remind or congratulate.

    flowctl run examples/onboarding/onboarding.py:onboarding name=Ada email=ada@example.org patience=5s
    flowctl run --detach examples/onboarding/onboarding.py:onboarding name=Ada email=ada@example.org

The wait is durable: no process is needed for it, and it ends no earlier than asked even if the machine is off
meanwhile. To be active before the wait is over, add a line to the account's activity file, whose path is printed.
Mails are written into the folder instead of being sent.
"""

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

from flowctl import GiveUp, current_run, now, sleep, step, uuid4, workflow


@dataclass
class Account:
    id: UUID
    name: str
    email: str
    created: datetime
    activity: Path


@dataclass
class Outcome:
    account: Account
    active: bool
    mails: list[Path]


@step
def create_account(folder: Path, id: UUID, name: str, email: str, created: datetime) -> Account:
    """Make the account's folder. The id was drawn and recorded before, so a second attempt makes the same one."""
    if "@" not in email:
        raise GiveUp(f"{email!r} is not an address")
    home = folder / str(id)
    home.mkdir(parents=True, exist_ok=True)
    activity = home / "activity.log"
    activity.touch()
    print(f"activity of {name}: {activity.resolve()}")
    return Account(id, name, email, created, activity.resolve())


@step(retries=5, backoff="2s", timeout="30s")
def send_mail(folder: Path, account: Account, subject: str, text: str) -> Path:
    """Write a mail. Its id is the same for every attempt, so a mail server could tell a repetition."""
    mail = EmailMessage()
    mail["To"] = f"{account.name} <{account.email}>"
    mail["Subject"] = subject
    mail["Message-ID"] = f"<{current_run().idempotency_key}@example.org>"
    mail.set_content(text)
    path = folder / f"{account.id}-{subject.split()[0].lower()}.eml"
    path.write_bytes(bytes(mail))
    return path


@step
def was_active(account: Account) -> bool:
    """Tell whether the user did anything since the account was made."""
    return account.activity.stat().st_size > 0


@step
def close_account(account: Account) -> None:
    """Remove what was made for a user who never came."""
    account.activity.unlink(missing_ok=True)
    account.activity.parent.rmdir()


@step
def tell_support(about: str) -> None:
    """Leave a line for the people who look after failed runs."""
    print(f"support: please look at {about}")


@workflow
def onboarding_failed(failed: dict[str, Any]) -> None:
    """Say that a person is needed."""
    tell_support(f"the onboarding run {failed.get('run')}")


@workflow(tags={"team": "accounts"}, timeout="60d", on_failure=onboarding_failed)
def onboarding(name: str, email: str, patience: str = "2d", folder: Path = Path("accounts")) -> Outcome:
    """Welcome a new user and see whether they came."""
    account = create_account(folder, uuid4(), name, email, now())
    mails = [send_mail(folder, account, "Welcome!", f"Hello {name}, have a look around.")]

    sleep(patience)
    if was_active(account):
        mails.append(send_mail(folder, account, "Congratulations", "You are off to a good start."))
        return Outcome(account, True, mails)

    mails.append(send_mail(folder, account, "Reminder", "We kept your place. Come and see."))
    sleep(patience)
    active = was_active(account)
    if not active:
        mails.append(send_mail(folder, account, "Goodbye", "We closed the account."))
        close_account(account)
    return Outcome(account, active, mails)
