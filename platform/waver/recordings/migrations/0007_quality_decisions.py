"""What was accepted stays accepted when a study sets thresholds; thresholds stay as they were set."""

from django.db import migrations, models

FORWARD = (
    "CREATE TRIGGER append_only BEFORE UPDATE ON recordings_qualityrules "
    "FOR EACH ROW EXECUTE FUNCTION waver_append_only('never');"
)
BACKWARD = "DROP TRIGGER append_only ON recordings_qualityrules;"


def remember_accepted(apps, schema_editor):
    """A recording that is ready although a stage asked, or failed, was accepted by a person."""
    stage_rows = apps.get_model("recordings", "Stage").objects
    asked = {}
    rows = stage_rows.filter(recording__state="ready").exclude(figures__decide="")
    for stage in rows.filter(figures__has_key="decide").iterator():
        asked.setdefault(stage.recording_id, []).append(stage.figures["decide"])
    for stage in stage_rows.filter(
        recording__state="ready", name="cues", state="failed"
    ).iterator():
        sentence = f"No cue candidates were marked. {stage.error}"
        asked.setdefault(stage.recording_id, []).append(sentence)
    recordings = apps.get_model("recordings", "Recording").objects
    for recording_id, sentences in asked.items():
        recordings.filter(pk=recording_id).update(accepted_decisions=sentences)


class Migration(migrations.Migration):
    dependencies = [("recordings", "0006_one_webcam_per_take"), ("core", "0002_append_only")]
    operations = [
        migrations.AddField(
            model_name="recording",
            name="accepted_decisions",
            field=models.JSONField(blank=True, default=None, null=True),
        ),
        migrations.RunPython(remember_accepted, migrations.RunPython.noop),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
