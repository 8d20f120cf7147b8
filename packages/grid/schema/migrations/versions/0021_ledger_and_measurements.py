"""ledger and measurements: what statistics of guarded tables may tell, told, and were made of"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "privacy_ledger",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=True),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("exact_digest", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_privacy_ledger")),
    )
    op.create_table(
        "statistics_measurement",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("identifier", sa.String(length=64), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("reserved_by", sa.String(length=64), nullable=True),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("digest", "identifier", name=op.f("pk_statistics_measurement")),
    )
    with op.batch_alter_table("statistics_measurement", schema=None) as batch_op:
        batch_op.create_index(
            "ix_statistics_measurement_reserved_by", ["digest", "reserved_by"], unique=False
        )

    op.create_table(
        "privacy_charge",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("ledger_id", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ledger_id"], ["privacy_ledger.id"], name=op.f("fk_privacy_charge_ledger_id_privacy_ledger")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_privacy_charge")),
    )
    with op.batch_alter_table("privacy_charge", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_privacy_charge_ledger_id"), ["ledger_id"], unique=False)

    op.create_table(
        "privacy_ledger_member",
        sa.Column("member", sa.String(length=320), nullable=False),
        sa.Column("ledger_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["ledger_id"],
            ["privacy_ledger.id"],
            name=op.f("fk_privacy_ledger_member_ledger_id_privacy_ledger"),
        ),
        sa.PrimaryKeyConstraint("member", name=op.f("pk_privacy_ledger_member")),
    )
    with op.batch_alter_table("privacy_ledger_member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_privacy_ledger_member_ledger_id"), ["ledger_id"], unique=False)


def downgrade() -> None:
    op.drop_table("privacy_ledger_member")
    op.drop_table("privacy_charge")
    op.drop_table("statistics_measurement")
    op.drop_table("privacy_ledger")
