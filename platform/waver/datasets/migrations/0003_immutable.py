"""What the gate saw and said is immutable: only an erasure may take a participant out of it."""

from django.db import migrations

TABLES = ["snapshot", "snapshot_annotations", "gatepolicy", "gaterun", "waiver"]
FORWARD = "".join(
    f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON datasets_{table} "
    "FOR EACH ROW EXECUTE FUNCTION waver_append_only('erasable');"
    for table in TABLES
)
BACKWARD = "".join(f"DROP TRIGGER append_only ON datasets_{table};" for table in TABLES)


class Migration(migrations.Migration):
    dependencies = [
        ("datasets", "0002_gate_waivers_release_codes"),
        ("core", "0002_append_only"),
    ]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
