"""Consent evidence is append-only, and restrictions of one recording never overlap."""

from django.db import migrations

EVIDENCE = ["consentdocument", "consentitem", "consentrecord", "consentanswer", "consentevent"]
FORWARD = "".join(
    f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON consent_{table} "
    "FOR EACH ROW EXECUTE FUNCTION waver_append_only('never');"
    for table in EVIDENCE
)
BACKWARD = "".join(f"DROP TRIGGER append_only ON consent_{table};" for table in EVIDENCE)

# A range over uuid gives GiST an equality without the btree_gist extension.
NO_OVERLAP = """
CREATE TYPE uuidrange AS RANGE (subtype = uuid);
ALTER TABLE consent_restriction ADD CONSTRAINT restriction_no_overlap EXCLUDE USING gist (
    uuidrange(recording_id, recording_id, '[]') WITH =, int8range(start_us, end_us) WITH &&
);
"""


class Migration(migrations.Migration):
    dependencies = [("consent", "0001_initial"), ("core", "0002_append_only")]
    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RunSQL(
            NO_OVERLAP,
            "ALTER TABLE consent_restriction DROP CONSTRAINT restriction_no_overlap;"
            "DROP TYPE uuidrange;",
        ),
    ]
