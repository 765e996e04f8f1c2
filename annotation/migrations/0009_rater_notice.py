"""Keep each text of the raters' notice as it was read, and when figures about a rater went."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import waver.core.ids

FORWARD = (
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_raternotice "
    "FOR EACH ROW EXECUTE FUNCTION waver_append_only('erasable');"
)
BACKWARD = "DROP TRIGGER append_only ON annotation_raternotice;"


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0008_adjudication_chain"),
        ("core", "0002_append_only"),
        ("studies", "0002_overlap_controls_and_care"),
    ]

    operations = [
        migrations.CreateModel(
            name="RaterNotice",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=waver.core.ids.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("sha256", models.CharField(max_length=64)),
                ("text", models.TextField()),
                (
                    "study",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rater_notices",
                        to="studies.study",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="raternotice",
            constraint=models.UniqueConstraint(
                fields=["study", "sha256"], name="rater_notice_once"
            ),
        ),
        migrations.AddField(
            model_name="raterprofile",
            name="figures_removed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
