"""An assessment names the escalation it led to, so that the auditor need not guess it from times; and no two
open escalations share a code, which a member texts back."""

from secrets import randbelow

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

IS_OPEN = sa.text("status <> 'resolved'")


def upgrade() -> None:
    op.add_column("assessments", sa.Column("escalation_id", sa.String(length=32), nullable=True))
    op.create_index("ix_assessments_escalation_id", "assessments", ["escalation_id"])
    _part_codes(op.get_bind())
    op.create_index(
        "uq_escalations_code_open",
        "escalations",
        ["code"],
        unique=True,
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    )


def _part_codes(connection: sa.Connection) -> None:
    """Two processes could draw the same code at the same moment: all but the first get another."""
    rows = connection.execute(
        sa.text("SELECT id, code FROM escalations WHERE status <> 'resolved' ORDER BY opened_at, id")
    ).all()
    taken = {row.code for row in rows}
    seen: set[str] = set()
    for row in rows:
        code = row.code
        while code in seen:
            code = f"{randbelow(100_000):05d}"
            if code in taken:
                code = row.code
        seen.add(code)
        taken.add(code)
        if code != row.code:
            change = sa.text("UPDATE escalations SET code = :code, version = version + 1 WHERE id = :id")
            connection.execute(change, {"code": code, "id": row.id})


def downgrade() -> None:
    op.drop_index("uq_escalations_code_open", "escalations")
    op.drop_index("ix_assessments_escalation_id", "assessments")
    with op.batch_alter_table("assessments") as table:
        table.drop_column("escalation_id")
