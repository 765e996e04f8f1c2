"""Raters' work is immutable: only an erasure may change it."""

from django.db import migrations

TABLES = ["annotation", "segment", "segmentcue", "cliplabel", "codebookversion"]
FORWARD = "".join(
    f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_{table} "
    "FOR EACH ROW EXECUTE FUNCTION waver_append_only('erasable');"
    for table in TABLES
)
BACKWARD = "".join(f"DROP TRIGGER append_only ON annotation_{table};" for table in TABLES)


class Migration(migrations.Migration):
    dependencies = [("annotation", "0001_initial"), ("core", "0002_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
