"""Decisions form a chain for each disputed item, and say where within it a label is present."""

from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("annotation", "0007_stored_again_after_a_deletion")]

    operations = [
        migrations.AlterField(
            model_name="adjudication",
            name="label",
            field=models.CharField(max_length=90),
        ),
        migrations.AddField(
            model_name="adjudication",
            name="decided_start_us",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="adjudication",
            name="decided_end_us",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="adjudication",
            constraint=models.CheckConstraint(
                condition=Q(decided_start_us__isnull=True, decided_end_us__isnull=True)
                | Q(
                    decided_start_us__gte=F("start_us"),
                    decided_end_us__gt=F("decided_start_us"),
                    decided_end_us__lte=F("end_us"),
                ),
                name="adjudication_decides_inside",
            ),
        ),
        migrations.AddConstraint(
            model_name="adjudication",
            constraint=models.UniqueConstraint(
                fields=["supersedes"], name="adjudication_superseded_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="adjudication",
            constraint=models.UniqueConstraint(
                fields=["recording", "codebook", "pass_id", "label", "start_us", "end_us"],
                condition=Q(supersedes__isnull=True),
                nulls_distinct=False,
                name="adjudication_first_once",
            ),
        ),
    ]
