"""A changed schema that flowctl accepts as its own, so that only a test of behaviour can tell."""

from __future__ import annotations

import re

import apsw

from flowctl.store import migrate
from tests.conftest import ROOT

_MIGRATE = "flowctl/store/migrate.py"
_MIGRATION = f"flowctl/store/migrations/{migrate.MIGRATIONS[-1].file}"


def with_its_fingerprint(schema: str) -> dict[str, str]:
    """Return the files of a checkout that has this schema."""
    connection = apsw.Connection(":memory:")
    connection.execute(schema).fetchall()
    rows = connection.execute(migrate._SCHEMA).fetchall()
    objects = [(str(kind), str(name), migrate.normalised(str(sql))) for kind, name, sql in rows]
    connection.close()
    known = migrate.MIGRATIONS[-1].fingerprint
    code = re.sub(known, migrate.fingerprint(objects), (ROOT / _MIGRATE).read_text())
    return {"schema.sql": schema, _MIGRATION: schema, _MIGRATE: code}
