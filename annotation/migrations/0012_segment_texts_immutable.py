"""Descriptions that raters wrote are kept as they were: only an erasure may remove them."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("annotation", "0011_richer_answers"), ("core", "0002_append_only")]
    operations = [
        migrations.RunSQL(
            "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_segmenttext "
            "FOR EACH ROW EXECUTE FUNCTION waver_append_only('erasable');",
            "DROP TRIGGER append_only ON annotation_segmenttext;",
        )
    ]
