"""The schema of a keyspace, by version, from `qold/schema/<name>/v1.cql`, v2.cql, …"""

import os
import threading
import time
from importlib import resources
from typing import Any

from qold.ports import Unavailable

MAX_REPLICAS = 3
LOCK_S = 30


def apply_schema(session: Any, keyspace: str, schema: str) -> None:
    """Make a keyspace, or bring it up to date; one process at a time does it.

    Raises the driver's errors, and `Unavailable` for what a newer Qold has written.
    """
    scripts = _scripts(schema)
    _make_keyspace(session, keyspace)
    versions = f"{keyspace}.schema_versions"
    if _version(session, versions, schema, scripts) == len(scripts):
        return
    holder = f"{os.getpid()}-{threading.get_ident()}"
    put = f"INSERT INTO {versions} (name, version, holder) VALUES (%s, %s, %s)"  # noqa: S608  # a checked name
    take = f"{put} IF NOT EXISTS USING TTL {LOCK_S}"
    while not session.execute(take, ("lock", 0, holder)).was_applied:
        time.sleep(0.1)
    for version in range(_version(session, versions, schema, scripts), len(scripts)):
        for statement in scripts[version].split(";"):
            if statement.strip():
                session.execute(statement.replace("<keyspace>", keyspace))
        session.execute(put, (schema, version + 1, holder))
    give_back = f"DELETE FROM {versions} WHERE name = 'lock' IF holder = %s"  # noqa: S608  # likewise
    session.execute(give_back, (holder,))


def _make_keyspace(session: Any, keyspace: str) -> None:
    query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    if any(row.table_name == "schema_versions" for row in session.execute(query, (keyspace,))):
        return
    nodes = len(session.cluster.metadata.all_hosts())
    session.execute(
        f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{"
        f"'class': 'NetworkTopologyStrategy', 'replication_factor': {min(MAX_REPLICAS, nodes)}}}"
    )
    session.execute(
        f"CREATE TABLE IF NOT EXISTS {keyspace}.schema_versions"
        " (name text PRIMARY KEY, version int, holder text)"
    )


def _version(session: Any, versions: str, schema: str, scripts: list[str]) -> int:
    query = f"SELECT version FROM {versions} WHERE name = %s"  # noqa: S608  # a checked name
    row = session.execute(query, (schema,)).one()
    version = row.version if row else 0
    if version > len(scripts):
        raise Unavailable(
            f"schema {schema} has version {version}, written by a newer Qold "
            f"(this one knows {len(scripts)}); upgrade Qold"
        )
    return int(version)


def _scripts(schema: str) -> list[str]:
    folder = resources.files("qold.schema") / schema
    scripts: list[str] = []
    while (script := folder / f"v{len(scripts) + 1}.cql").is_file():
        text = script.read_text("utf-8")
        scripts.append("\n".join(line.partition("--")[0] for line in text.splitlines()))
    return scripts
