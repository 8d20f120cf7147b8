"""strategy state: what aggregation strategies keep between the cycles of a training"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fl_strategy_state",
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("blob_digest", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["blob_digest"], ["blob.digest"], name=op.f("fk_fl_strategy_state_blob_digest_blob")
        ),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_strategy_state_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("process_id", "number", name=op.f("pk_fl_strategy_state")),
    )
    with op.batch_alter_table("fl_strategy_state", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fl_strategy_state_blob_digest"), ["blob_digest"], unique=False)


def downgrade() -> None:
    op.drop_table("fl_strategy_state")
