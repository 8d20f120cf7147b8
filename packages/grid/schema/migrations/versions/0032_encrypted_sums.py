"""sums of encrypted reports, while their cycles last"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fl_encrypted_sum",
        sa.Column("cycle_id", sa.String(length=32), nullable=False),
        sa.Column("blob_digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.Float(precision=53), nullable=False),
        sa.Column("opened_digest", sa.String(length=64), nullable=True),
        sa.Column("opened_at", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(
            ["blob_digest"], ["blob.digest"], name=op.f("fk_fl_encrypted_sum_blob_digest_blob")
        ),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["fl_cycle.id"], name=op.f("fk_fl_encrypted_sum_cycle_id_fl_cycle")
        ),
        sa.ForeignKeyConstraint(
            ["opened_digest"], ["blob.digest"], name=op.f("fk_fl_encrypted_sum_opened_digest_blob")
        ),
        sa.PrimaryKeyConstraint("cycle_id", name=op.f("pk_fl_encrypted_sum")),
    )
    op.create_index(op.f("ix_fl_encrypted_sum_blob_digest"), "fl_encrypted_sum", ["blob_digest"])
    op.create_index(op.f("ix_fl_encrypted_sum_opened_digest"), "fl_encrypted_sum", ["opened_digest"])


def downgrade() -> None:
    op.drop_table("fl_encrypted_sum")
