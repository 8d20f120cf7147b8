"""Contents, stored objects with their tags and permissions, resumable uploads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blob",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blob")),
    )
    op.create_table(
        "stored_object",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("blob_digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("dtype", sa.String(length=32), nullable=True),
        sa.Column("shape", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["blob_digest"], ["blob.digest"], name=op.f("fk_stored_object_blob_digest_blob")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_object")),
    )
    with op.batch_alter_table("stored_object", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_stored_object_blob_digest"), ["blob_digest"], unique=False)
        batch_op.create_index(batch_op.f("ix_stored_object_kind"), ["kind"], unique=False)
        batch_op.create_index(batch_op.f("ix_stored_object_owner"), ["owner"], unique=False)

    op.create_table(
        "upload",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("blob_digest", sa.String(length=64), nullable=True),
        sa.Column("touched_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["blob_digest"], ["blob.digest"], name=op.f("fk_upload_blob_digest_blob")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_upload_blob_digest"), ["blob_digest"], unique=False)
        batch_op.create_index(batch_op.f("ix_upload_owner"), ["owner"], unique=False)
        batch_op.create_index(batch_op.f("ix_upload_touched_at"), ["touched_at"], unique=False)

    op.create_table(
        "object_permission",
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=6), nullable=False),
        sa.Column("verify_key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"],
            ["stored_object.id"],
            name=op.f("fk_object_permission_object_id_stored_object"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("object_id", "scope", "verify_key", name=op.f("pk_object_permission")),
    )
    op.create_table(
        "object_tag",
        sa.Column("object_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"],
            ["stored_object.id"],
            name=op.f("fk_object_tag_object_id_stored_object"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("object_id", "position", name=op.f("pk_object_tag")),
    )
    with op.batch_alter_table("object_tag", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_object_tag_tag"), ["tag"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("object_tag", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_object_tag_tag"))

    op.drop_table("object_tag")
    op.drop_table("object_permission")
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_upload_touched_at"))
        batch_op.drop_index(batch_op.f("ix_upload_owner"))
        batch_op.drop_index(batch_op.f("ix_upload_blob_digest"))

    op.drop_table("upload")
    with op.batch_alter_table("stored_object", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_stored_object_owner"))
        batch_op.drop_index(batch_op.f("ix_stored_object_kind"))
        batch_op.drop_index(batch_op.f("ix_stored_object_blob_digest"))

    op.drop_table("stored_object")
    op.drop_table("blob")
