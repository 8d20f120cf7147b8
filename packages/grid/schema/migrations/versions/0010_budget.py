"""budget: what each user may spend of the site's privacy budget"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "privacy_budget",
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.String(length=32), nullable=False),
        sa.CheckConstraint("spent <= granted", name=op.f("ck_privacy_budget_not_overspent")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_privacy_budget")),
    )


def downgrade() -> None:
    op.drop_table("privacy_budget")
