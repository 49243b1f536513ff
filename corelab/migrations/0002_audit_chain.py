"""The head of the audit chain, and triggers by which the database itself refuses to change the log."""

from django.db import migrations

SQLITE = """
CREATE TRIGGER audit_no_update BEFORE UPDATE ON corelab_auditevent
BEGIN SELECT RAISE(ABORT, 'audit rows are for ever'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON corelab_auditevent
BEGIN SELECT RAISE(ABORT, 'audit rows are for ever'); END;
"""
POSTGRESQL = """
CREATE FUNCTION corelab_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'audit rows are for ever'; END $$;
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON corelab_auditevent
FOR EACH ROW EXECUTE FUNCTION corelab_audit_refuse();
"""


def start_chain(apps, schema_editor):
    apps.get_model("corelab", "AuditHead").objects.get_or_create(pk=1)
    vendor = schema_editor.connection.vendor
    if vendor == "sqlite":
        for statement in SQLITE.strip().split("END;\n"):
            schema_editor.execute(statement.removesuffix("END;") + "END;")
    elif vendor == "postgresql":
        schema_editor.execute(POSTGRESQL)


class Migration(migrations.Migration):
    dependencies = [("corelab", "0001_initial")]
    operations = [migrations.RunPython(start_chain, migrations.RunPython.noop)]
