"""access: grants, sources of derived objects, the site's policy"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("object_permission", schema=None) as batch_op:
        batch_op.alter_column("scope", existing_type=sa.String(length=6), type_=sa.String(length=16))
    op.create_table(
        "grants",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("plan_id", sa.String(length=64), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=True),
        sa.Column("granted_by", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("uses_left", sa.Integer(), nullable=True),
        sa.Column("max_output_bytes", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.Column("revoked_by", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_grants_object_id"), ["object_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_grants_request_id"), ["request_id"], unique=False)
        batch_op.create_index("ix_grants_user_id_object_id", ["user_id", "object_id"], unique=False)
    op.create_table(
        "object_source",
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("source_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"],
            ["stored_object.id"],
            name=op.f("fk_object_source_object_id_stored_object"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("object_id", "source_id", name=op.f("pk_object_source")),
    )
    with op.batch_alter_table("object_source", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_object_source_source_id"), ["source_id"], unique=False)
    op.create_table(
        "site_policy",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.String(length=32), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_site_policy_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_policy")),
    )


def downgrade() -> None:
    op.drop_table("site_policy")
    op.drop_table("object_source")
    op.drop_table("grants")
    # What the narrower column cannot hold was not known before.
    op.execute("DELETE FROM object_permission WHERE scope NOT IN ('read', 'search')")
    with op.batch_alter_table("object_permission", schema=None) as batch_op:
        batch_op.alter_column("scope", existing_type=sa.String(length=16), type_=sa.String(length=6))
