"""requests, and what reviewers said to them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "request",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("pending_for", sa.String(length=96), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("grant_id", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_request_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
        sa.UniqueConstraint("pending_for", name=op.f("uq_request_pending_for")),
    )
    with op.batch_alter_table("request", schema=None) as batch_op:
        for column in ("created_at", "object_id", "state", "user_id"):
            batch_op.create_index(batch_op.f(f"ix_request_{column}"), [column], unique=False)
    op.create_table(
        "request_decision",
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("reviewer_id", sa.String(length=32), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("expires_in", sa.Double(), nullable=True),
        sa.Column("uses", sa.Integer(), nullable=True),
        sa.Column("max_output_bytes", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["request.id"],
            name=op.f("fk_request_decision_request_id_request"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "reviewer_id", name=op.f("pk_request_decision")),
    )


def downgrade() -> None:
    op.drop_table("request_decision")
    op.drop_table("request")
