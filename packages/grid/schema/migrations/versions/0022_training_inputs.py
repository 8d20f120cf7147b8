"""training inputs: what a training takes of its participants' data, and why some take no part"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("fl_process", schema=None) as batch_op:
        batch_op.add_column(sa.Column("inputs", sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table("fl_worker", schema=None) as batch_op:
        batch_op.add_column(sa.Column("aside", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("fl_worker", schema=None) as batch_op:
        batch_op.drop_column("aside")
    with op.batch_alter_table("fl_process", schema=None) as batch_op:
        batch_op.drop_column("inputs")
