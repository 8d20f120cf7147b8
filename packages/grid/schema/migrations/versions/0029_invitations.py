"""invitations to trainings, and the guests who redeemed them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fl_invitation",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("ended_at", sa.Float(precision=53), nullable=True),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_invitation_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fl_invitation")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_fl_invitation_secret_hash")),
    )
    op.create_index(op.f("ix_fl_invitation_process_id"), "fl_invitation", ["process_id"])
    op.create_table(
        "fl_guest",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("invitation_id", sa.String(length=32), nullable=False),
        sa.Column("verify_key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("counts", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("redeemed_at", sa.Float(precision=53), nullable=False),
        sa.Column("decided_at", sa.Float(precision=53), nullable=True),
        sa.Column("decided_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["invitation_id"], ["fl_invitation.id"], name=op.f("fk_fl_guest_invitation_id_fl_invitation")
        ),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_guest_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fl_guest")),
        sa.UniqueConstraint("process_id", "verify_key", name=op.f("uq_fl_guest_process_id_verify_key")),
    )
    op.create_index(op.f("ix_fl_guest_invitation_id"), "fl_guest", ["invitation_id"])


def downgrade() -> None:
    op.drop_table("fl_guest")
    op.drop_table("fl_invitation")
