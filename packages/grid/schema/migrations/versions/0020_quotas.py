"""quotas: how much each user may keep; what a step of a training takes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quota",
        sa.Column("subject", sa.String(length=48), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=True),
        sa.Column("role_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name=op.f("fk_quota_role_id_roles"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_quota_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subject", "name", name=op.f("pk_quota")),
    )
    with op.batch_alter_table("quota", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_quota_role_id"), ["role_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_quota_user_id"), ["user_id"], unique=False)
    for name in ("step_size", "reserved"):
        op.add_column("fl_process", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE fl_process SET step_size = model_size")
    op.execute("UPDATE fl_process SET reserved = model_size WHERE status IN ('running', 'paused')")


def downgrade() -> None:
    for name in ("reserved", "step_size"):
        op.drop_column("fl_process", name)
    op.drop_table("quota")
