"""how many ids tables of two Domains have in common: requests, budgets of ids, rows that are kept"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "intersection_budget",
        sa.Column("who", sa.String(length=80), nullable=False),
        sa.Column("member", sa.String(length=320), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("who", "member", name=op.f("pk_intersection_budget")),
    )
    op.create_table(
        "matched_rows",
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("peer", sa.String(length=64), nullable=False),
        sa.Column("agreement", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=32), nullable=False),
        sa.Column("foreign", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"],
            ["stored_object.id"],
            name=op.f("fk_matched_rows_object_id_stored_object"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("object_id", name=op.f("pk_matched_rows")),
    )
    with op.batch_alter_table("matched_rows", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_matched_rows_request_id"), ["request_id"], unique=False)

    op.create_table(
        "intersection_request",
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("agreement", sa.String(length=64), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("shown", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["request.id"],
            name=op.f("fk_intersection_request_request_id_request"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_intersection_request")),
    )
    with op.batch_alter_table("intersection_request", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_intersection_request_agreement"), ["agreement"], unique=False)
        batch_op.create_index(batch_op.f("ix_intersection_request_object_id"), ["object_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("intersection_request", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_intersection_request_object_id"))
        batch_op.drop_index(batch_op.f("ix_intersection_request_agreement"))

    op.drop_table("intersection_request")
    with op.batch_alter_table("matched_rows", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_matched_rows_request_id"))

    op.drop_table("matched_rows")
    op.drop_table("intersection_budget")
