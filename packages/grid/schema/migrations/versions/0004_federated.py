"""The training pipeline: trainings, cycles, assignments, their history and outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HOLDING = sa.text("status IN ('assigned', 'reported', 'included')")


def upgrade() -> None:
    op.create_table(
        "fl_process",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("server_config", sa.JSON(), nullable=False),
        sa.Column("client_config", sa.JSON(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("cycles_completed", sa.Integer(), nullable=False),
        sa.Column("latest_checkpoint", sa.Integer(), nullable=False),
        sa.Column("model_size", sa.BigInteger(), nullable=False),
        sa.Column("history_seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.Column("paused_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fl_process")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_fl_process_name_version")),
    )
    with op.batch_alter_table("fl_process", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fl_process_owner"), ["owner"], unique=False)
        batch_op.create_index(batch_op.f("ix_fl_process_status"), ["status"], unique=False)

    op.create_table(
        "fl_checkpoint",
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("blob_digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("cycle_id", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["blob_digest"], ["blob.digest"], name=op.f("fk_fl_checkpoint_blob_digest_blob")
        ),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_checkpoint_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("process_id", "number", name=op.f("pk_fl_checkpoint")),
    )
    with op.batch_alter_table("fl_checkpoint", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fl_checkpoint_blob_digest"), ["blob_digest"], unique=False)

    op.create_table(
        "fl_cycle",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("base_checkpoint", sa.Integer(), nullable=False),
        sa.Column("slots_open", sa.Integer(), nullable=False),
        sa.Column("admitted", sa.Integer(), nullable=False),
        sa.Column("arrived", sa.Integer(), nullable=False),
        sa.Column("reported", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("extensions", sa.Integer(), nullable=False),
        sa.Column("bytes_received", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.Float(precision=53), nullable=False),
        sa.Column("deadline", sa.Float(precision=53), nullable=True),
        sa.Column("closed_at", sa.Float(precision=53), nullable=True),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_cycle_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fl_cycle")),
        sa.UniqueConstraint("process_id", "sequence", name=op.f("uq_fl_cycle_process_id_sequence")),
    )
    op.create_table(
        "fl_history",
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("entity", sa.String(length=16), nullable=False),
        sa.Column("entity_id", sa.String(length=32), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("before", sa.String(length=16), nullable=False),
        sa.Column("after", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_history_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("process_id", "seq", name=op.f("pk_fl_history")),
    )
    op.create_table(
        "fl_outbox",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("topic", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.Float(precision=53), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_outbox_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fl_outbox")),
        sa.UniqueConstraint("topic", "key", name=op.f("uq_fl_outbox_topic_key")),
    )
    with op.batch_alter_table("fl_outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fl_outbox_process_id"), ["process_id"], unique=False)
        batch_op.create_index("ix_fl_outbox_status", ["status", "available_at"], unique=False)

    op.create_table(
        "fl_plan",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("blob_digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["blob_digest"], ["blob.digest"], name=op.f("fk_fl_plan_blob_digest_blob")),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_plan_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fl_plan")),
        sa.UniqueConstraint("process_id", "kind", "name", name=op.f("uq_fl_plan_process_id_kind_name")),
    )
    with op.batch_alter_table("fl_plan", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fl_plan_blob_digest"), ["blob_digest"], unique=False)

    op.create_table(
        "fl_worker",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=True),
        sa.Column("rests_until", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_worker_process_id_fl_process")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fl_worker")),
        sa.UniqueConstraint("process_id", "subject", name=op.f("uq_fl_worker_process_id_subject")),
    )
    op.create_table(
        "fl_arrival",
        sa.Column("cycle_id", sa.String(length=32), nullable=False),
        sa.Column("worker_id", sa.String(length=32), nullable=False),
        sa.Column("arrived_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["cycle_id"], ["fl_cycle.id"], name=op.f("fk_fl_arrival_cycle_id_fl_cycle")),
        sa.PrimaryKeyConstraint("cycle_id", "worker_id", name=op.f("pk_fl_arrival")),
    )
    op.create_table(
        "fl_assignment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("process_id", sa.String(length=32), nullable=False),
        sa.Column("cycle_id", sa.String(length=32), nullable=False),
        sa.Column("worker_id", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("idempotency_key", sa.String(length=128), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("assigned_at", sa.Float(precision=53), nullable=False),
        sa.Column("lease_until", sa.Float(precision=53), nullable=False),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.Column("report_index", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=True),
        sa.Column("samples", sa.BigInteger(), nullable=True),
        sa.Column("loss", sa.Float(precision=53), nullable=True),
        sa.Column("accuracy", sa.Float(precision=53), nullable=True),
        sa.Column("report_size", sa.BigInteger(), nullable=True),
        sa.Column("report_digest", sa.String(length=64), nullable=True),
        sa.Column("blob_digest", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["blob_digest"], ["blob.digest"], name=op.f("fk_fl_assignment_blob_digest_blob")
        ),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["fl_cycle.id"], name=op.f("fk_fl_assignment_cycle_id_fl_cycle")
        ),
        sa.ForeignKeyConstraint(
            ["process_id"], ["fl_process.id"], name=op.f("fk_fl_assignment_process_id_fl_process")
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["fl_worker.id"], name=op.f("fk_fl_assignment_worker_id_fl_worker")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fl_assignment")),
        sa.UniqueConstraint(
            "worker_id", "idempotency_key", name=op.f("uq_fl_assignment_worker_id_idempotency_key")
        ),
    )
    with op.batch_alter_table("fl_assignment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fl_assignment_blob_digest"), ["blob_digest"], unique=False)
        batch_op.create_index("ix_fl_assignment_cycle_id_status", ["cycle_id", "status"], unique=False)
        batch_op.create_index(
            "uq_fl_assignment_holding",
            ["cycle_id", "worker_id"],
            unique=True,
            sqlite_where=_HOLDING,
            postgresql_where=_HOLDING,
        )

    op.create_table(
        "fl_metric",
        sa.Column("cycle_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.Column("weight", sa.Float(precision=53), nullable=False),
        sa.Column("participants", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["cycle_id"], ["fl_cycle.id"], name=op.f("fk_fl_metric_cycle_id_fl_cycle")),
        sa.PrimaryKeyConstraint("cycle_id", "name", name=op.f("pk_fl_metric")),
    )


def downgrade() -> None:
    op.drop_table("fl_metric")
    with op.batch_alter_table("fl_assignment", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_fl_assignment_holding",
            sqlite_where=_HOLDING,
            postgresql_where=_HOLDING,
        )
        batch_op.drop_index("ix_fl_assignment_cycle_id_status")
        batch_op.drop_index(batch_op.f("ix_fl_assignment_blob_digest"))

    op.drop_table("fl_assignment")
    op.drop_table("fl_arrival")
    op.drop_table("fl_worker")
    with op.batch_alter_table("fl_plan", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fl_plan_blob_digest"))

    op.drop_table("fl_plan")
    with op.batch_alter_table("fl_outbox", schema=None) as batch_op:
        batch_op.drop_index("ix_fl_outbox_status")
        batch_op.drop_index(batch_op.f("ix_fl_outbox_process_id"))

    op.drop_table("fl_outbox")
    op.drop_table("fl_history")
    op.drop_table("fl_cycle")
    with op.batch_alter_table("fl_checkpoint", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fl_checkpoint_blob_digest"))

    op.drop_table("fl_checkpoint")
    with op.batch_alter_table("fl_process", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fl_process_status"))
        batch_op.drop_index(batch_op.f("ix_fl_process_owner"))

    op.drop_table("fl_process")
