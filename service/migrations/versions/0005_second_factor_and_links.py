"""One-time links, a second factor with recovery codes, and where a session came from."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "member_links",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("member_id", sa.String(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("used_at", UTCDateTime(), nullable=True),
        sa.Column("revoked_at", UTCDateTime(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('first_admin', 'invitation', 'password', 'code', 'sso')",
            name=op.f("ck_member_links_kind"),
        ),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_member_links_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member_links")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_member_links_token_hash")),
    )
    op.create_index(op.f("ix_member_links_member_id"), "member_links", ["member_id"])
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("member_id", sa.String(), nullable=False),
        sa.Column("code_hash", sa.String(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("used_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_recovery_codes_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        sa.UniqueConstraint("member_id", "code_hash", name=op.f("uq_recovery_codes_member_id_code_hash")),
    )
    op.create_index(op.f("ix_recovery_codes_member_id"), "recovery_codes", ["member_id"])
    # No batch here: it would drop and remake a table that others refer to, which SQLite refuses when it has rows.
    op.add_column("members", sa.Column("sso_subject", sa.String(), nullable=True))
    op.create_index(op.f("ix_members_sso_subject"), "members", ["sso_subject"], unique=True)
    with op.batch_alter_table("member_sessions") as batch:
        batch.add_column(sa.Column("way", sa.String(), nullable=False, server_default="password"))
        batch.add_column(sa.Column("totp_offered", sa.String(), nullable=True))
        batch.create_check_constraint(op.f("ck_member_sessions_way"), "way IN ('password', 'sso')")


def downgrade() -> None:
    with op.batch_alter_table("member_sessions") as batch:
        batch.drop_constraint(op.f("ck_member_sessions_way"), type_="check")
        batch.drop_column("totp_offered")
        batch.drop_column("way")
    op.drop_index(op.f("ix_members_sso_subject"), "members")
    op.drop_column("members", "sso_subject")
    op.drop_table("recovery_codes")
    op.drop_table("member_links")
