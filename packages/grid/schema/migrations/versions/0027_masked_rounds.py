"""rounds of secure aggregation, while their cycles last"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fl_masked_round",
        sa.Column("cycle_id", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("deadline", sa.Float(precision=53), nullable=False),
        sa.Column("roster", sa.LargeBinary(), nullable=False),
        sa.Column("sharers", sa.JSON(), nullable=False),
        sa.Column("survivors", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["fl_cycle.id"], name=op.f("fk_fl_masked_round_cycle_id_fl_cycle")
        ),
        sa.PrimaryKeyConstraint("cycle_id", name=op.f("pk_fl_masked_round")),
    )
    op.create_table(
        "fl_masked_part",
        sa.Column("cycle_id", sa.String(length=32), nullable=False),
        sa.Column("assignment_id", sa.String(length=32), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("shares", sa.LargeBinary(), nullable=False),
        sa.Column("confirmation", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["fl_assignment.id"],
            name=op.f("fk_fl_masked_part_assignment_id_fl_assignment"),
        ),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["fl_cycle.id"], name=op.f("fk_fl_masked_part_cycle_id_fl_cycle")
        ),
        sa.PrimaryKeyConstraint("cycle_id", "assignment_id", name=op.f("pk_fl_masked_part")),
    )


def downgrade() -> None:
    op.drop_table("fl_masked_part")
    op.drop_table("fl_masked_round")
