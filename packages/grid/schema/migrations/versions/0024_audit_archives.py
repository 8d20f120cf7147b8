"""audit archives: their signed heads, and triggers that let go of just the entries that are in one"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_ENTRIES = "entries of the audit log are never changed or removed"
_HEADS = "heads of archives of the audit log are never changed or removed"
_KEPT = "(SELECT COALESCE(MAX(last), -1) FROM audit_archives)"
_SQLITE = (
    ("audit_archives_no_update", "BEFORE UPDATE ON audit_archives"),
    ("audit_archives_no_delete", "BEFORE DELETE ON audit_archives"),
    # INSERT OR REPLACE deletes without asking the trigger above.
    (
        "audit_archives_no_replace",
        "BEFORE INSERT ON audit_archives WHEN EXISTS "
        "(SELECT 1 FROM audit_archives WHERE first = NEW.first OR last = NEW.last)",
    ),
)


def upgrade() -> None:
    op.create_table(
        "audit_archives",
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("node_id", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("signature", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["blob.digest"], name=op.f("fk_audit_archives_digest_blob")),
        sa.PrimaryKeyConstraint("first", name=op.f("pk_audit_archives")),
        sa.UniqueConstraint("last", name=op.f("uq_audit_archives_last")),
    )
    op.create_index(op.f("ix_audit_archives_digest"), "audit_archives", ["digest"], unique=False)
    # IF EXISTS: where somebody lifted the protection it is there again. Whether entries are missing is found by
    # whoever compares them with what was noted of them, not by a migration that cannot run.
    if op.get_bind().dialect.name == "sqlite":
        for name, when in _SQLITE:
            op.execute(f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{_HEADS}'); END")
        op.execute("DROP TRIGGER IF EXISTS audit_no_delete")
        op.execute(
            f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_entries WHEN OLD.seq > {_KEPT} "
            f"BEGIN SELECT RAISE(ABORT, '{_ENTRIES}'); END"
        )
        return
    op.execute("DROP TRIGGER IF EXISTS audit_no_change ON audit_entries")
    op.execute(
        "CREATE TRIGGER audit_no_change BEFORE UPDATE ON audit_entries "
        "FOR EACH ROW EXECUTE FUNCTION audit_refuse()"
    )
    op.execute(
        "CREATE FUNCTION audit_refuse_unless_archived() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF OLD.seq > {_KEPT} THEN RAISE EXCEPTION '{_ENTRIES}'; END IF; RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_entries "
        "FOR EACH ROW EXECUTE FUNCTION audit_refuse_unless_archived()"
    )
    op.execute(
        "CREATE FUNCTION audit_archives_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_HEADS}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_archives_no_change BEFORE UPDATE OR DELETE ON audit_archives "
        "FOR EACH ROW EXECUTE FUNCTION audit_archives_refuse()"
    )
    op.execute(
        "CREATE TRIGGER audit_archives_no_truncate BEFORE TRUNCATE ON audit_archives "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_archives_refuse()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER IF EXISTS audit_no_delete")
        op.execute(
            "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_entries "
            f"BEGIN SELECT RAISE(ABORT, '{_ENTRIES}'); END"
        )
        op.drop_table("audit_archives")  # its triggers go with it
        return
    op.execute("DROP TRIGGER IF EXISTS audit_no_delete ON audit_entries")
    op.execute("DROP FUNCTION audit_refuse_unless_archived()")
    op.execute("DROP TRIGGER IF EXISTS audit_no_change ON audit_entries")
    op.execute(
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit_entries "
        "FOR EACH ROW EXECUTE FUNCTION audit_refuse()"
    )
    op.drop_table("audit_archives")
    op.execute("DROP FUNCTION audit_archives_refuse()")
