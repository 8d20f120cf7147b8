"""people: groups that carry flags, names of keys, where sessions come from, one-time codes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_FLAGS = (
    "can_triage_requests",
    "can_edit_settings",
    "can_create_users",
    "can_create_groups",
    "can_edit_roles",
    "can_manage_infrastructure",
    "can_upload_data",
)


def upgrade() -> None:
    # What stood before carries no flag, has no name, and came from nobody knows where.
    with op.batch_alter_table("user_groups", schema=None) as batch_op:
        for flag in _FLAGS:
            batch_op.add_column(sa.Column(flag, sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("user_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("name", sa.String(length=255), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("added_at", sa.Double(), nullable=True))
    with op.batch_alter_table("user_sessions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("remote", sa.String(length=64), nullable=False, server_default=""))
    with op.batch_alter_table("setup", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("require_totp", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.create_table(
        "user_totp",
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("sealed_secret", sa.String(length=255), nullable=False),
        sa.Column("enrolled_at", sa.Double(), nullable=False),
        sa.Column("confirmed_at", sa.Double(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("blocked_until", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_totp_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_totp")),
    )
    op.create_table(
        "user_recovery_codes",
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_recovery_codes_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name=op.f("pk_user_recovery_codes")),
    )


def downgrade() -> None:
    op.drop_table("user_recovery_codes")
    op.drop_table("user_totp")
    with op.batch_alter_table("setup", schema=None) as batch_op:
        batch_op.drop_column("require_totp")
    with op.batch_alter_table("user_sessions", schema=None) as batch_op:
        batch_op.drop_column("remote")
    with op.batch_alter_table("user_keys", schema=None) as batch_op:
        batch_op.drop_column("added_at")
        batch_op.drop_column("name")
    with op.batch_alter_table("user_groups", schema=None) as batch_op:
        for flag in reversed(_FLAGS):
            batch_op.drop_column(flag)
