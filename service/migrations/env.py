"""Alembic's entry: runs the revisions on the engine that ``service.db`` hands over."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, text
from sqlmodel.sql.sqltypes import AutoString

from service import models

UPGRADE_LOCK = 7214503


def render_item(kind: str, item: Any, autogen: Any) -> Any:
    """Write SQLModel's own types as plain SQLAlchemy types, so that revisions do not depend on SQLModel."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    if kind == "type" and type(item).__name__ == "UTCDateTime":
        autogen.imports.add("from sqlmodel.sql.sqltypes import UTCDateTime")
        return "UTCDateTime()"
    return False


def run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Several processes may start at once: one upgrades, the others wait and find nothing to do.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
    context.configure(
        connection=connection,
        target_metadata=models.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render_item,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


engine = context.config.attributes["engine"]
with engine.begin() as connection:
    run(connection)
