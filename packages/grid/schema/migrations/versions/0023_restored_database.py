"""restored database: that nobody has acknowledged a restore yet"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "restored_database",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("noticed_at", sa.Double(), nullable=False),
        sa.Column("acknowledged_at", sa.Double(), nullable=True),
        sa.Column("known_epoch", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_restored_database_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restored_database")),
    )


def downgrade() -> None:
    op.drop_table("restored_database")
