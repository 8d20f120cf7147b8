"""catalogue: versions and statistics of assets, what a search shows and looks into"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A node fills in "entry", and what goes with it, when it starts.
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.add_column(sa.Column("subjects", sa.Text(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("entry", sa.LargeBinary(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("published_bytes", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("published_rows", sa.BigInteger(), nullable=True))
        batch_op.add_column(
            sa.Column("has_statistics", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    with op.batch_alter_table("dataset_asset", schema=None) as batch_op:
        batch_op.add_column(sa.Column("rows", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
        batch_op.add_column(sa.Column("statistics", sa.JSON(), nullable=False, server_default="{}"))
    op.create_table(
        "dataset_column",
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["dataset.id"],
            name=op.f("fk_dataset_column_dataset_id_dataset"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "name", name=op.f("pk_dataset_column")),
    )
    with op.batch_alter_table("dataset_column", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dataset_column_name"), ["name"], unique=False)
    op.create_table(
        "dataset_version",
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("asset", sa.String(length=255), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("changed", sa.JSON(), nullable=False),
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["dataset.id"],
            name=op.f("fk_dataset_version_dataset_id_dataset"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "asset", "number", name=op.f("pk_dataset_version")),
    )
    with op.batch_alter_table("dataset_version", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dataset_version_object_id"), ["object_id"], unique=False)
    op.create_table(
        "catalogue_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_catalogue_revision_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogue_revision")),
    )
    op.execute("INSERT INTO catalogue_revision (id, revision) VALUES (1, 0)")
    op.execute(
        "INSERT INTO dataset_version"
        " (dataset_id, asset, number, created_at, note, changed, object_id, size, rows)"
        " SELECT a.dataset_id, a.name, 1, d.created_at, '', '[\"content\"]', a.object_id, o.size, NULL"
        " FROM dataset_asset a JOIN dataset d ON d.id = a.dataset_id JOIN stored_object o ON o.id = a.object_id"
    )


def downgrade() -> None:
    op.drop_table("catalogue_revision")
    op.drop_table("dataset_version")
    op.drop_table("dataset_column")
    with op.batch_alter_table("dataset_asset", schema=None) as batch_op:
        batch_op.drop_column("statistics")
        batch_op.drop_column("version")
        batch_op.drop_column("rows")
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.drop_column("has_statistics")
        batch_op.drop_column("published_rows")
        batch_op.drop_column("published_bytes")
        batch_op.drop_column("entry")
        batch_op.drop_column("subjects")
