"""key hosts: policies, rounds, and a ledger and a log whose rows nobody changes or removes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_APPEND_ONLY = (
    ("key_host_ledger", "rows of the ledger"),
    ("key_host_log", "entries of the log of a key host"),
)


def upgrade() -> None:
    op.create_table(
        "key_host_denial",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", name=op.f("pk_key_host_denial")),
    )
    op.create_table(
        "key_host_ledger",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_key_host_ledger")),
    )
    op.create_table(
        "key_host_log",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_key_host_log")),
    )
    op.create_table(
        "key_host_peer",
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("incarnation", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("host", "incarnation", name=op.f("pk_key_host_peer")),
    )
    op.create_table(
        "key_host_policy",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scope_id", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("registered_by", sa.String(length=64), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("domains", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_key_host_policy")),
    )
    with op.batch_alter_table("key_host_policy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_host_policy_scope_id"), ["scope_id"], unique=False)

    op.create_table(
        "key_host_scope",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("rounds", sa.BigInteger(), nullable=False),
        sa.Column("burnt", sa.Boolean(), nullable=False),
        sa.CheckConstraint("rounds >= 0", name=op.f("ck_key_host_scope_rounds")),
        sa.CheckConstraint("spent >= 0", name=op.f("ck_key_host_scope_spent")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_host_scope")),
    )
    op.create_table(
        "key_host_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("incarnation", sa.String(length=64), nullable=False),
        sa.Column("past", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("halted", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_key_host_state_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_host_state")),
    )
    op.create_table(
        "key_host_used_challenge",
        sa.Column("challenge", sa.String(length=64), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("challenge", name=op.f("pk_key_host_used_challenge")),
    )
    with op.batch_alter_table("key_host_used_challenge", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_host_used_challenge_until"), ["until"], unique=False)

    op.create_table(
        "key_host_charge",
        sa.Column("scope_id", sa.String(length=64), nullable=False),
        sa.Column("context", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.String(length=64), nullable=False),
        sa.Column("policy", sa.String(length=64), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("cost >= 0", name=op.f("ck_key_host_charge_cost")),
        sa.ForeignKeyConstraint(
            ["scope_id"], ["key_host_scope.id"], name=op.f("fk_key_host_charge_scope_id_key_host_scope")
        ),
        sa.PrimaryKeyConstraint("scope_id", "context", "manifest", name=op.f("pk_key_host_charge")),
    )
    op.create_table(
        "key_host_participation",
        sa.Column("scope_id", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("context", sa.String(length=64), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["scope_id"],
            ["key_host_scope.id"],
            name=op.f("fk_key_host_participation_scope_id_key_host_scope"),
        ),
        sa.PrimaryKeyConstraint("scope_id", "person", "context", name=op.f("pk_key_host_participation")),
    )
    op.create_table(
        "key_host_round",
        sa.Column("context", sa.String(length=64), nullable=False),
        sa.Column("domain_key", sa.String(length=64), nullable=False),
        sa.Column("process_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("policy", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("round_key", sa.LargeBinary(), nullable=False),
        sa.Column("round_key_signature", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("upload_seed", sa.LargeBinary(), nullable=True),
        sa.Column("release_seed", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("manifest", sa.String(length=64), nullable=True),
        sa.Column("output", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("erase_at", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_key_host_round_attempts")),
        sa.ForeignKeyConstraint(
            ["policy"], ["key_host_policy.digest"], name=op.f("fk_key_host_round_policy_key_host_policy")
        ),
        sa.PrimaryKeyConstraint("context", name=op.f("pk_key_host_round")),
        sa.UniqueConstraint(
            "domain_key",
            "process_id",
            "sequence",
            name=op.f("uq_key_host_round_domain_key_process_id_sequence"),
        ),
    )
    with op.batch_alter_table("key_host_round", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_host_round_epoch"), ["epoch"], unique=False)
        batch_op.create_index(batch_op.f("ix_key_host_round_erase_at"), ["erase_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_key_host_round_manifest"), ["manifest"], unique=False)
        batch_op.create_index(batch_op.f("ix_key_host_round_policy"), ["policy"], unique=False)
        batch_op.create_index(batch_op.f("ix_key_host_round_state"), ["state"], unique=False)

    _protect()


def _protect() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table, title in _APPEND_ONLY:
            for name, when in (
                ("no_update", f"BEFORE UPDATE ON {table}"),
                ("no_delete", f"BEFORE DELETE ON {table}"),
                # INSERT OR REPLACE deletes without asking the trigger above.
                (
                    "no_replace",
                    f"BEFORE INSERT ON {table} WHEN EXISTS "  # noqa: S608
                    f"(SELECT 1 FROM {table} WHERE sequence = NEW.sequence)",
                ),
            ):
                op.execute(
                    f"CREATE TRIGGER {table}_{name} {when} "
                    f"BEGIN SELECT RAISE(ABORT, '{title} are never changed or removed'); END"
                )
        return
    for table, title in _APPEND_ONLY:
        op.execute(
            f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{title} are never changed or removed'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
        )


def downgrade() -> None:
    for table in (
        *("key_host_round", "key_host_participation", "key_host_charge", "key_host_used_challenge"),
        *("key_host_state", "key_host_scope", "key_host_policy", "key_host_peer", "key_host_log"),
        *("key_host_ledger", "key_host_denial"),
    ):
        op.drop_table(table)  # its triggers go with it
    if op.get_bind().dialect.name != "sqlite":
        for table, _ in _APPEND_ONLY:
            op.execute(f"DROP FUNCTION {table}_refuse()")
