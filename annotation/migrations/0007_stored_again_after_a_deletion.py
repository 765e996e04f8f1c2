from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0006_adjudication_immutable")]

    operations = [
        migrations.AddField(
            model_name="annotation",
            name="after_deletions",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.RemoveConstraint(model_name="annotation", name="annotation_stored_once"),
        migrations.AddConstraint(
            model_name="annotation",
            constraint=models.UniqueConstraint(
                fields=(
                    "assignment",
                    "remote_id",
                    "raw_sha256",
                    "remote_updated_at",
                    "after_deletions",
                ),
                name="annotation_stored_once",
            ),
        ),
    ]
