"""Associations of nodes; the trainings that a Worker has seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "association",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("verify_key", sa.String(length=64), nullable=False),
        sa.Column("node_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("address", sa.String(length=512), nullable=False),
        sa.Column("own_address", sa.String(length=512), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("decided_at", sa.Float(precision=53), nullable=True),
        sa.Column("decided_by", sa.String(length=254), nullable=False),
        sa.Column("last_seen", sa.Float(precision=53), nullable=True),
        sa.Column("reported", sa.String(length=8), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("load", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_association")),
        sa.UniqueConstraint("direction", "verify_key", name=op.f("uq_association_direction_verify_key")),
    )
    with op.batch_alter_table("association", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_association_node_id"), ["node_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_association_status"), ["status"], unique=False)
        batch_op.create_index(batch_op.f("ix_association_verify_key"), ["verify_key"], unique=False)

    op.create_table(
        "worker_training",
        sa.Column("domain_key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.Column("last_cycle", sa.Integer(), nullable=False),
        sa.Column("last_loss", sa.Float(precision=53), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("domain_key", "name", "version", name=op.f("pk_worker_training")),
    )


def downgrade() -> None:
    op.drop_table("worker_training")
    with op.batch_alter_table("association", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_association_verify_key"))
        batch_op.drop_index(batch_op.f("ix_association_status"))
        batch_op.drop_index(batch_op.f("ix_association_node_id"))

    op.drop_table("association")
