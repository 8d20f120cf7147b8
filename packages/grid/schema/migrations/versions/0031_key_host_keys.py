"""makers' revocation lists of a key host's own, and the evidence that they are held against; key hosts that go on
under another key"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "key_host_revocation_list",
        sa.Column("issuer", sa.String(length=256), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", name=op.f("pk_key_host_revocation_list")),
    )
    with op.batch_alter_table("key_host_session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("evidence", sa.LargeBinary(), nullable=True))
    op.create_table(
        "key_host_succession",
        sa.Column("old", sa.String(length=64), nullable=False),
        sa.Column("new", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("conflict", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("old", name=op.f("pk_key_host_succession")),
    )
    with op.batch_alter_table("key_host_succession", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_host_succession_new"), ["new"], unique=False)
    none = sa.literal(b"\x90", sa.LargeBinary())
    with op.batch_alter_table("confidential_policy", schema=None) as batch_op:
        batch_op.add_column(sa.Column("successions", sa.LargeBinary(), nullable=True))
    op.execute(
        sa.table("confidential_policy", sa.column("successions", sa.LargeBinary()))
        .update()
        .values(successions=none)
    )
    with op.batch_alter_table("confidential_policy", schema=None) as batch_op:
        batch_op.alter_column("successions", existing_type=sa.LargeBinary(), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("confidential_policy", schema=None) as batch_op:
        batch_op.drop_column("successions")
    op.drop_table("key_host_succession")
    with op.batch_alter_table("key_host_session", schema=None) as batch_op:
        batch_op.drop_column("evidence")
    op.drop_table("key_host_revocation_list")
