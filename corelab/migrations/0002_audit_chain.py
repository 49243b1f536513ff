"""Triggers by which the database itself refuses to change the audit log."""

from django.db import migrations

SQLITE = (
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON corelab_auditevent "
    "BEGIN SELECT RAISE(ABORT, 'audit rows are for ever'); END",
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON corelab_auditevent "
    "BEGIN SELECT RAISE(ABORT, 'audit rows are for ever'); END",
)
POSTGRESQL = (
    "CREATE FUNCTION corelab_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'audit rows are for ever'; END $$",
    "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON corelab_auditevent "
    "FOR EACH ROW EXECUTE FUNCTION corelab_audit_refuse()",
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON corelab_auditevent "
    "FOR EACH STATEMENT EXECUTE FUNCTION corelab_audit_refuse()",
)


def refuse_changes(apps, schema_editor):
    for statement in {"sqlite": SQLITE, "postgresql": POSTGRESQL}[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("corelab", "0001_initial")]
    operations = [migrations.RunPython(refuse_changes, migrations.RunPython.noop)]
