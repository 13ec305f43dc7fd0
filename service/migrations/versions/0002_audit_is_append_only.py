"""The database itself refuses to change or remove rows of the audit trail; only sealing may write to them."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SAID = "the audit trail is append-only"
FIELDS = ("id", "at", "actor", "action", "subject_kind", "subject_id", "address")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in (*FIELDS, "detail"))
        for when, condition in (("UPDATE", f"WHEN OLD.seal_number IS NOT NULL OR {changed}"), ("DELETE", "")):
            op.execute(
                f"CREATE TRIGGER audit_events_no_{when.lower()} BEFORE {when} ON audit_events {condition} "
                f"BEGIN SELECT RAISE(ABORT, '{SAID}'); END"
            )
        return
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FIELDS)
    op.execute(
        "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'UPDATE' THEN "
        f"IF OLD.seal_number IS NULL AND NOT ({changed} OR NEW.detail::text IS DISTINCT FROM OLD.detail::text) "
        "THEN RETURN NEW; END IF; END IF; "
        f"RAISE EXCEPTION '{SAID}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_events_no_change BEFORE UPDATE OR DELETE ON audit_events "
        "FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()"
    )
    op.execute(
        "CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_events_no_update")
        op.execute("DROP TRIGGER audit_events_no_delete")
        return
    op.execute("DROP TRIGGER audit_events_no_change ON audit_events")
    op.execute("DROP TRIGGER audit_events_no_truncate ON audit_events")
    op.execute("DROP FUNCTION refuse_audit_change()")
