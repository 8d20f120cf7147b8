"""training reviews: whose word a training runs on, who takes part in it, and who may read it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_FLAG = "can_host_trainings"
_REASON = "it was hosted before trainings were reviewed: whoever manages this site may resume it"


def upgrade() -> None:
    op.create_table(
        "fl_review",
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reviewers", sa.JSON(), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_review_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("process_id", name=op.f("pk_fl_review")),
    )
    op.create_table(
        "fl_share",
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_share_process_id_fl_process")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_fl_share_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("process_id", "user_id", name=op.f("pk_fl_share")),
    )
    with op.batch_alter_table("fl_share", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fl_share_user_id"), ["user_id"], unique=False)
    op.create_table(
        "training_request",
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["request.id"],
            name=op.f("fk_training_request_request_id_request"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_training_request")),
        sa.UniqueConstraint("process_id", name=op.f("uq_training_request_process_id")),
    )
    with op.batch_alter_table("training_request", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_training_request_digest"), ["digest"], unique=False)
    with op.batch_alter_table("fl_worker", schema=None) as batch_op:
        batch_op.add_column(sa.Column("identity", sa.String(length=96), nullable=True))
        batch_op.add_column(sa.Column("bounds", sa.JSON(), nullable=True))
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(sa.Column("signed_up", sa.Boolean(), nullable=False, server_default=sa.false()))
    for table in ("roles", "user_groups"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column(_FLAG, sa.Boolean(), nullable=False, server_default=sa.false()))
    roles = sa.table("roles", sa.column("name", sa.String()), sa.column(_FLAG, sa.Boolean()))
    op.execute(sa.update(roles).where(roles.c.name == "Owner").values({_FLAG: True}))
    # Nobody's word was asked for what runs: it stops until somebody gives it.
    process = sa.table(
        "fl_process",
        sa.column("status", sa.String()),
        sa.column("reason", sa.Text()),
        sa.column("paused_at", sa.Double()),
        sa.column("updated_at", sa.Double()),
    )
    op.execute(
        sa.update(process)
        .where(process.c.status == "running")
        .values(status="paused", reason=_REASON, paused_at=process.c.updated_at)
    )


def downgrade() -> None:
    for table in ("user_groups", "roles"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column(_FLAG)
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_column("signed_up")
    with op.batch_alter_table("fl_worker", schema=None) as batch_op:
        batch_op.drop_column("bounds")
        batch_op.drop_column("identity")
    op.drop_table("training_request")
    op.drop_table("fl_share")
    op.drop_table("fl_review")
