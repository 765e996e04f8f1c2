"""Append-only tables are kept by the database itself, not by good manners."""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION waver_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The one documented way past this is an erasure, which says so for its own transaction.
    IF current_setting('waver.erasure', true) = 'on' AND TG_ARGV[0] = 'erasable' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    RAISE EXCEPTION 'Rows of % are append-only: % is refused.', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON core_auditentry
    FOR EACH ROW EXECUTE FUNCTION waver_append_only('never');
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]
    operations = [
        migrations.RunSQL(
            FUNCTION,
            "DROP TRIGGER append_only ON core_auditentry; DROP FUNCTION waver_append_only();",
        )
    ]
