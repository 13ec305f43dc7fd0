"""Several care teams: every patient, every escalation and (if it likes) every shift belongs to one.

All that exists belongs to the one team made here, so that a clinic with one team notices nothing.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DEFAULT_TEAM = "0" * 31 + "1"
OPEN = sa.text("status <> 'resolved'")
PAGES = sa.text("kind = 'page'")


def upgrade() -> None:
    teams = op.create_table(
        "teams",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_teams")),
        sa.UniqueConstraint("name", name=op.f("uq_teams_name")),
    )
    first = {"id": DEFAULT_TEAM, "name": "Care team", "active": True, "created_at": datetime.now(UTC)}
    op.bulk_insert(teams, [first])
    op.create_table(
        "team_members",
        sa.Column("team_id", sa.String(length=32), nullable=False),
        sa.Column("member_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_team_members_team_id")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_team_members_member_id")),
        sa.PrimaryKeyConstraint("team_id", "member_id", name=op.f("pk_team_members")),
    )
    op.create_index("ix_team_members_member_id", "team_members", ["member_id"])
    op.create_table(
        "break_glass",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("member_id", sa.String(length=32), nullable=False),
        sa.Column("patient_id", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at", UTCDateTime(), nullable=False),
        sa.Column("until", UTCDateTime(), nullable=False),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_break_glass_member_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_break_glass_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_break_glass")),
    )
    op.create_index("ix_break_glass_member_id_until", "break_glass", ["member_id", "until"])
    op.create_index("ix_break_glass_patient_id_until", "break_glass", ["patient_id", "until"])
    for table in ("patients", "escalations"):
        team = sa.Column("team_id", sa.String(length=32), nullable=False, server_default=DEFAULT_TEAM)
        op.add_column(table, team)
    op.add_column("escalations", sa.Column("moved_at", UTCDateTime(), nullable=True))
    op.create_index("ix_patients_team_id", "patients", ["team_id"])
    op.create_index(
        "ix_escalations_team_queue", "escalations", ["team_id", "urgency_rank", "opened_at", "id"],
        sqlite_where=OPEN, postgresql_where=OPEN,
    )  # fmt: skip
    op.create_index(
        "ix_outbound_messages_paged", "outbound_messages", ["member_id", "escalation_id"],
        sqlite_where=PAGES, postgresql_where=PAGES,
    )  # fmt: skip
    op.add_column("on_call_shifts", sa.Column("team_id", sa.String(length=32), nullable=True))
    op.add_column("api_tokens", sa.Column("teams", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("api_tokens", "teams")
    op.drop_column("on_call_shifts", "team_id")
    op.drop_index("ix_outbound_messages_paged", "outbound_messages")
    op.drop_index("ix_escalations_team_queue", "escalations")
    op.drop_index("ix_patients_team_id", "patients")
    op.drop_column("escalations", "moved_at")
    for table in ("escalations", "patients"):
        op.drop_column(table, "team_id")
    for table in ("break_glass", "team_members", "teams"):
        op.drop_table(table)
