"""catalogue: datasets and what is published of them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("published", sa.JSON(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("owner_id", "name", name=op.f("uq_dataset_owner_id_name")),
    )
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dataset_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_dataset_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_dataset_owner_id"), ["owner_id"], unique=False)

    op.create_table(
        "dataset_tag",
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("tag", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_dataset_tag_dataset_id_dataset"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "tag", name=op.f("pk_dataset_tag")),
    )
    with op.batch_alter_table("dataset_tag", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dataset_tag_tag"), ["tag"], unique=False)

    op.create_table(
        "dataset_viewer",
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["dataset.id"],
            name=op.f("fk_dataset_viewer_dataset_id_dataset"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "subject", name=op.f("pk_dataset_viewer")),
    )
    with op.batch_alter_table("dataset_viewer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dataset_viewer_subject"), ["subject"], unique=False)

    op.create_table(
        "dataset_asset",
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("mock_id", sa.String(length=32), nullable=True),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["dataset.id"],
            name=op.f("fk_dataset_asset_dataset_id_dataset"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["mock_id"], ["stored_object.id"], name=op.f("fk_dataset_asset_mock_id_stored_object")
        ),
        sa.ForeignKeyConstraint(
            ["object_id"], ["stored_object.id"], name=op.f("fk_dataset_asset_object_id_stored_object")
        ),
        sa.PrimaryKeyConstraint("dataset_id", "name", name=op.f("pk_dataset_asset")),
    )
    with op.batch_alter_table("dataset_asset", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dataset_asset_mock_id"), ["mock_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_dataset_asset_object_id"), ["object_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("dataset_asset", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dataset_asset_object_id"))
        batch_op.drop_index(batch_op.f("ix_dataset_asset_mock_id"))

    op.drop_table("dataset_asset")
    with op.batch_alter_table("dataset_viewer", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dataset_viewer_subject"))

    op.drop_table("dataset_viewer")
    with op.batch_alter_table("dataset_tag", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dataset_tag_tag"))

    op.drop_table("dataset_tag")
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dataset_owner_id"))
        batch_op.drop_index(batch_op.f("ix_dataset_name"))
        batch_op.drop_index(batch_op.f("ix_dataset_created_at"))

    op.drop_table("dataset")
