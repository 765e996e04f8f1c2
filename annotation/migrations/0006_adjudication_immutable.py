"""Decisions and qualification results are kept as they were: only an erasure may remove them."""

from django.db import migrations

TABLES = ["adjudication", "qualification"]
FORWARD = "".join(
    f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_{table} "
    "FOR EACH ROW EXECUTE FUNCTION waver_append_only('erasable');"
    for table in TABLES
)
BACKWARD = "".join(f"DROP TRIGGER append_only ON annotation_{table};" for table in TABLES)


class Migration(migrations.Migration):
    dependencies = [("annotation", "0005_gold_raters_adjudication"), ("core", "0002_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
