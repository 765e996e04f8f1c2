"""A recording also keeps the outline of its face table that its page draws."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("recordings", "0001_initial")]
    operations = [
        migrations.AlterField(
            model_name="asset",
            name="kind",
            field=models.CharField(
                choices=[
                    ("original", "Original"),
                    ("proxy", "Proxy"),
                    ("frame_map", "Frame Map"),
                    ("audio_native", "Audio Native"),
                    ("audio_16k", "Audio 16K"),
                    ("waveform", "Waveform"),
                    ("landmarks", "Landmarks"),
                    ("face_outline", "Face Outline"),
                    ("crops", "Crops"),
                    ("crop_index", "Crop Index"),
                    ("contact_sheet", "Contact Sheet"),
                    ("speech", "Speech"),
                    ("transcript", "Transcript"),
                    ("features", "Features"),
                ],
                max_length=16,
            ),
        )
    ]
