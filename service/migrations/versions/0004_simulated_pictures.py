"""Pictures that simulated phones send are kept by the simulated carrier."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "simulated_pictures",
        sa.Column("carrier_sid", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("carrier_sid", "place", name=op.f("pk_simulated_pictures")),
    )


def downgrade() -> None:
    op.drop_table("simulated_pictures")
