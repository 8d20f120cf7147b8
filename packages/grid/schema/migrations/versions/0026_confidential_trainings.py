"""confidential trainings: policies, rounds at key hosts, what was declared, sealed outputs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "confidential_policy",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.Column("published_at", sa.Double(), nullable=False),
        sa.Column("published_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_confidential_policy")),
    )
    op.create_table(
        "confidential_session",
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("recorded", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_confidential_session_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("process_id", name=op.f("pk_confidential_session")),
    )
    op.create_table(
        "confidential_round",
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("context", sa.LargeBinary(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("upload_until", sa.Double(), nullable=True),
        sa.Column("erase_at", sa.Double(), nullable=True),
        sa.Column("cycle_id", sa.String(length=32), nullable=True),
        sa.Column("base_digest", sa.String(length=64), nullable=True),
        sa.Column("manifest", sa.LargeBinary(), nullable=True),
        sa.Column("manifest_digest", sa.String(length=64), nullable=True),
        sa.Column("uploads", sa.Integer(), nullable=False),
        sa.Column("checkpoint", sa.Integer(), nullable=True),
        sa.Column("receipt", sa.LargeBinary(), nullable=True),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["fl_cycle.id"], name=op.f("fk_confidential_round_cycle_id_fl_cycle")
        ),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_confidential_round_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("process_id", "sequence", name=op.f("pk_confidential_round")),
        sa.UniqueConstraint("cycle_id", name=op.f("uq_confidential_round_cycle_id")),
    )
    op.create_table(
        "confidential_output",
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("blob_digest", sa.String(length=64), nullable=True),
        sa.Column("release", sa.LargeBinary(), nullable=False),
        sa.Column("sessions", sa.LargeBinary(), nullable=False),
        sa.Column("stored_at", sa.Double(), nullable=False),
        sa.Column("released_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["blob_digest"], ["blob.digest"], name=op.f("fk_confidential_output_blob_digest_blob")
        ),
        sa.ForeignKeyConstraint(
            ["process_id", "sequence"],
            ["confidential_round.process_id", "confidential_round.sequence"],
            name=op.f("fk_confidential_output_process_id_sequence_confidential_round"),
        ),
        sa.PrimaryKeyConstraint("process_id", "sequence", name=op.f("pk_confidential_output")),
    )
    with op.batch_alter_table("confidential_output", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_confidential_output_blob_digest"), ["blob_digest"], unique=False)

    op.create_table(
        "confidential_key",
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id", "sequence"],
            ["confidential_round.process_id", "confidential_round.sequence"],
            name=op.f("fk_confidential_key_process_id_sequence_confidential_round"),
        ),
        sa.PrimaryKeyConstraint("process_id", "sequence", "place", name=op.f("pk_confidential_key")),
    )
    op.create_table(
        "confidential_upload",
        sa.Column("assignment_id", sa.String(length=32), nullable=False),
        sa.Column("cycle_id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("blob", sa.String(length=64), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("declaration", sa.LargeBinary(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("declared_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["fl_cycle.id"], name=op.f("fk_confidential_upload_cycle_id_fl_cycle")
        ),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_confidential_upload")),
    )
    with op.batch_alter_table("confidential_upload", schema=None) as batch_op:
        batch_op.create_index("ix_confidential_upload_cycle_id", ["cycle_id", "counted"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("confidential_upload", schema=None) as batch_op:
        batch_op.drop_index("ix_confidential_upload_cycle_id")

    op.drop_table("confidential_upload")
    op.drop_table("confidential_key")
    with op.batch_alter_table("confidential_output", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_confidential_output_blob_digest"))

    op.drop_table("confidential_output")
    op.drop_table("confidential_round")
    op.drop_table("confidential_session")
    op.drop_table("confidential_policy")
