"""Takes with names, views on one clock, transcripts, sensor channels, quality and its rules."""

import django.db.models.deletion
import django.utils.timezone
import waver.core.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('consent', '0002_evidence'),
        ('core', '0002_append_only'),
        ('recordings', '0004_spoken_language'),
        ('studies', '0002_overlap_controls_and_care'),
    ]

    operations = [
        migrations.CreateModel(
            name='Quality',
            fields=[
                ('id', models.UUIDField(default=waver.core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('figures', models.JSONField(default=dict)),
                ('verdict', models.CharField(choices=[('meets', "Meets the study's thresholds"), ('falls_short', "Falls short of the study's thresholds"), ('no_rules', 'The study has no thresholds')], max_length=12)),
                ('reasons', models.JSONField(default=list)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='QualityRules',
            fields=[
                ('id', models.UUIDField(default=waver.core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('version', models.PositiveIntegerField()),
                ('limits', models.JSONField(default=dict)),
                ('made_by', models.CharField(max_length=150)),
            ],
            options={
                'ordering': ['version'],
            },
        ),
        migrations.CreateModel(
            name='SensorChannel',
            fields=[
                ('id', models.UUIDField(default=waver.core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('number', models.PositiveIntegerField()),
                ('name', models.CharField(max_length=80)),
                ('unit', models.CharField(blank=True, max_length=40)),
                ('rate_numerator', models.PositiveBigIntegerField(blank=True, null=True)),
                ('rate_denominator', models.PositiveBigIntegerField(blank=True, null=True)),
                ('samples', models.PositiveBigIntegerField()),
                ('missing', models.PositiveBigIntegerField(default=0)),
                ('start_us', models.BigIntegerField()),
                ('end_us', models.BigIntegerField()),
                ('minimum', models.FloatField(blank=True, null=True)),
                ('maximum', models.FloatField(blank=True, null=True)),
            ],
            options={
                'ordering': ['number'],
            },
        ),
        migrations.CreateModel(
            name='Transcript',
            fields=[
                ('id', models.UUIDField(default=waver.core.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('version', models.PositiveIntegerField()),
                ('source', models.CharField(choices=[('imported', 'Imported'), ('corrected', 'Corrected by hand'), ('model', 'Made by a model')], max_length=12)),
                ('made_from', models.CharField(blank=True, max_length=120)),
                ('language', models.CharField(blank=True, max_length=12)),
                ('made_by', models.CharField(max_length=150)),
            ],
            options={
                'ordering': ['version'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='asset',
            name='asset_one_of_a_kind',
        ),
        migrations.AddField(
            model_name='asset',
            name='number',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='recording',
            name='occlusion',
            field=models.CharField(blank=True, choices=[('', 'Nothing'), ('face_mask', 'Face mask'), ('head_mounted_display', 'Head-mounted display'), ('other', 'Something else')], default='', max_length=24),
        ),
        migrations.AddField(
            model_name='recording',
            name='offset_us',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='recording',
            name='participant_chosen',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='take',
            name='name',
            field=models.CharField(blank=True, max_length=80),
        ),
        migrations.AlterField(
            model_name='asset',
            name='kind',
            field=models.CharField(choices=[('original', 'Original'), ('proxy', 'Proxy'), ('frame_map', 'Frame Map'), ('audio_native', 'Audio Native'), ('audio_16k', 'Audio 16K'), ('waveform', 'Waveform'), ('landmarks', 'Landmarks'), ('face_outline', 'Face Outline'), ('crops', 'Crops'), ('crop_index', 'Crop Index'), ('contact_sheet', 'Contact Sheet'), ('face_preview', 'Face Preview'), ('masked_preview', 'Masked Preview'), ('speech', 'Speech'), ('transcript', 'Transcript'), ('signals', 'Signals'), ('signal_outline', 'Signal Outline'), ('features', 'Features')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='asset',
            constraint=models.UniqueConstraint(fields=('recording', 'kind', 'number'), name='asset_one_of_a_kind'),
        ),
        migrations.AddConstraint(
            model_name='take',
            constraint=models.UniqueConstraint(condition=models.Q(('name', ''), _negated=True), fields=('participant', 'name'), name='take_name_once_per_participant'),
        ),
        migrations.AddField(
            model_name='quality',
            name='recording',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='quality', to='recordings.recording'),
        ),
        migrations.AddField(
            model_name='qualityrules',
            name='study',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='quality_rules', to='studies.study'),
        ),
        migrations.AddField(
            model_name='quality',
            name='rules',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='recordings.qualityrules'),
        ),
        migrations.AddField(
            model_name='sensorchannel',
            name='recording',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sensor_channels', to='recordings.recording'),
        ),
        migrations.AddField(
            model_name='transcript',
            name='blob',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transcripts', to='core.blob'),
        ),
        migrations.AddField(
            model_name='transcript',
            name='recording',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transcripts', to='recordings.recording'),
        ),
        migrations.AddConstraint(
            model_name='qualityrules',
            constraint=models.UniqueConstraint(fields=('study', 'version'), name='quality_rules_version'),
        ),
        migrations.AddConstraint(
            model_name='sensorchannel',
            constraint=models.UniqueConstraint(fields=('recording', 'number'), name='channel_number_unique'),
        ),
        migrations.AddConstraint(
            model_name='transcript',
            constraint=models.UniqueConstraint(fields=('recording', 'version'), name='transcript_version'),
        ),
    ]
