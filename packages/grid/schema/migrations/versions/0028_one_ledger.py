"""one ledger: charges of plans and trainings beside those of statistics, and what was released for them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("privacy_charge") as batch:
        batch.add_column(sa.Column("kind", sa.String(length=16), server_default="statistics", nullable=False))
    op.create_table(
        "privacy_release",
        sa.Column("question", sa.String(length=64), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("question", "content", name=op.f("pk_privacy_release")),
    )


def downgrade() -> None:
    op.drop_table("privacy_release")
    with op.batch_alter_table("privacy_charge") as batch:
        batch.drop_column("kind")
