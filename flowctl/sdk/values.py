"""The readable text of standard library values: dates, durations, UUID, Decimal, Path, bytes.

Each form is exact both ways. Modules are imported when a text is read, never before: writing needs none.
"""

from __future__ import annotations

import re
from typing import Any, Callable, NamedTuple, Optional

# Patterns are compiled at their first use: a program that only imports this should not pay for them.
_ISO_DURATION = (
    r"(?P<sign>[+-]?)P(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+)(?:\.(?P<f>\d{1,6}))?S)?)?"
)


class Form(NamedTuple):
    """How one type is written as text: its tag, and both directions."""

    tag: str
    schema_format: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def form_of(kind: type) -> Optional[Form]:
    """Return the form of a type, or None when it has none. Subclasses have none: they would not come back."""
    if issubclass(kind, _paths()) and kind.__module__.partition(".")[0] == "pathlib":
        return _path_form(kind)
    return _FORMS.get((kind.__module__, kind.__qualname__))


def form_of_tag(tag: str) -> Optional[Form]:
    """Return the form that writes this tag, such as "$datetime"."""
    return _BY_TAG.get(tag)


def write_datetime(value: Any) -> str:
    """Return ISO 8601 text; a named zone follows in brackets, as in RFC 9557."""
    return str(value.isoformat()) + _zone_suffix(value.tzinfo)


def read_datetime(text: str) -> Any:
    """Return the datetime that an ISO 8601 text names."""
    from datetime import datetime

    stamp, zone = _split_zone(text)
    value = datetime.fromisoformat(_with_offset(stamp))
    return value if zone is None else _in_zone(value, zone)


def _in_zone(value: Any, name: str) -> Any:
    zone = _zone(name)
    for fold in (0, 1):
        wall = value.replace(tzinfo=zone, fold=fold)
        if value.tzinfo is None or wall.utcoffset() == value.utcoffset():
            return wall
    return value.astimezone(zone)  # the zone's rules changed since: the instant counts


def write_time(value: Any) -> str:
    """Return ISO 8601 text of a time of day; a named zone follows in brackets."""
    return str(value.isoformat()) + _zone_suffix(value.tzinfo)


def read_time(text: str) -> Any:
    """Return the time of day that an ISO 8601 text names."""
    from datetime import time

    stamp, zone = _split_zone(text)
    value = time.fromisoformat(_with_offset(stamp))
    return value if zone is None else value.replace(tzinfo=_zone(zone))


def read_date(text: str) -> Any:
    """Return the date that an ISO 8601 text names."""
    from datetime import date

    return date.fromisoformat(text)


def write_timedelta(value: Any) -> str:
    """Return an ISO 8601 duration such as PT1H30M or -P2DT0.5S."""
    sign = "-" if value.days < 0 else ""
    value = abs(value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
    clock = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M")) if count)
    if seconds or fraction or not (clock or value.days):
        clock += f"{seconds}{fraction}S"
    return f"{sign}P{f'{value.days}D' if value.days else ''}{f'T{clock}' if clock else ''}"


def read_timedelta(text: str) -> Any:
    """Return the timedelta that an ISO 8601 duration of days and smaller units names."""
    from datetime import timedelta

    found = re.fullmatch(_ISO_DURATION, text, re.ASCII)
    if found is None or text[-1] in "PT":
        raise ValueError(f"{text!r} is not an ISO 8601 duration such as PT1H30M")
    part = {name: int(digits) for name, digits in found.groupdict("0").items() if name not in ("sign", "f")}
    microseconds = int((found["f"] or "0").ljust(6, "0"))
    size = timedelta(part["d"], part["s"], microseconds, hours=part["h"], minutes=part["m"])
    return -size if found["sign"] == "-" else size


def write_decimal(value: Any) -> str:
    """Return the digits; NaN and Infinity are refused like those of float."""
    if not value.is_finite():
        raise ValueError(f"is Decimal('{value}'), and NaN and Infinity cannot be recorded")
    return str(value)


def read_decimal(text: str) -> Any:
    """Return the Decimal that the digits name."""
    from decimal import Decimal, InvalidOperation

    try:
        value = Decimal(text)
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite():
        raise ValueError(f"{text!r} is not a decimal number")
    return value


def read_uuid(text: str) -> Any:
    """Return the UUID that the text names."""
    from uuid import UUID

    return UUID(text)


def write_bytes(value: bytes) -> str:
    """Return base64 text."""
    from binascii import b2a_base64

    return b2a_base64(value, newline=False).decode("ascii")


def read_bytes(text: str) -> bytes:
    """Return the bytes that a base64 text holds."""
    from base64 import b64decode

    return b64decode(text, validate=True)


def _paths() -> tuple[type, ...]:
    """Return PurePath, if anybody has imported it: nobody has a path otherwise."""
    import sys

    pathlib = sys.modules.get("pathlib")
    return () if pathlib is None else (pathlib.PurePath,)


def _path_form(kind: type) -> Form:
    concrete = kind.__name__ in ("Path", "PosixPath", "WindowsPath")
    return _PATH if concrete else Form(f"${kind.__name__}", "path", str, kind)


def read_path(text: str) -> Any:
    """Return the Path that the text names."""
    from pathlib import Path

    return Path(text)


def _zone_suffix(zone: Any) -> str:
    key = getattr(zone, "key", None)
    return f"[{key}]" if isinstance(key, str) else ""


def _split_zone(text: str) -> tuple[str, Optional[str]]:
    stamp, bracket, zone = text.partition("[")
    return (stamp, zone[:-1]) if bracket and zone.endswith("]") else (text, None)


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, LookupError, ValueError) as error:
        raise ValueError(f"time zone {name} is not known on this machine") from error


def _with_offset(stamp: str) -> str:
    """Return the stamp with Z written as an offset, which Python below 3.11 needs."""
    return f"{stamp[:-1]}+00:00" if stamp[-1:] in ("Z", "z") else stamp


_PATH = Form("$path", "path", str, read_path)
_FORMS: dict[tuple[str, str], Form] = {
    ("builtins", "bytes"): Form("$bytes", "byte", write_bytes, read_bytes),
    ("datetime", "datetime"): Form("$datetime", "date-time", write_datetime, read_datetime),
    ("datetime", "date"): Form("$date", "date", lambda value: str(value.isoformat()), read_date),
    ("datetime", "time"): Form("$time", "time", write_time, read_time),
    ("datetime", "timedelta"): Form("$timedelta", "duration", write_timedelta, read_timedelta),
    ("uuid", "UUID"): Form("$uuid", "uuid", str, read_uuid),
    ("decimal", "Decimal"): Form("$decimal", "decimal", write_decimal, read_decimal),
}
_BY_TAG = {form.tag: form for form in (*_FORMS.values(), _PATH)}
