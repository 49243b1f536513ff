
import django.db.models.deletion
from django.db import migrations, models


def fill(apps, schema_editor):
    """Take from the results that are there what lists need of them from now on."""
    Submission = apps.get_model("qc", "Submission")
    measured = Submission.objects.filter(current_run__isnull=False).select_related("current_run")
    for submission in measured.iterator(chunk_size=100):
        found = {}
        for outcome in ("WARN", "NOT_EVALUABLE", "FAIL"):
            for one in submission.current_run.result.get("findings", []):
                if one["outcome"] == outcome and one["severity"] != "info":
                    found[one["id"]] = outcome
        if found:
            Submission.objects.filter(pk=submission.pk).update(raised=found)


class Migration(migrations.Migration):

    dependencies = [
        ('corelab', '0003_clearance'),
        ('qc', '0002_queries_protocols_drifts'),
    ]

    operations = [
        migrations.AddField(
            model_name='submission',
            name='raised',
            field=models.JSONField(blank=True, default=dict, verbose_name='worst outcome by rule that the current run raised'),
        ),
        migrations.AddField(
            model_name='submission',
            name='uptake_min',
            field=models.FloatField(blank=True, null=True, verbose_name='injection to scan by the current run, minutes'),
        ),
        migrations.AddField(
            model_name='trialreport',
            name='deviations_csv',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='corelab.storedobject', verbose_name='one row a finding'),
        ),
        migrations.AlterField(
            model_name='trialreport',
            name='csv',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='corelab.storedobject', verbose_name='one row a scan'),
        ),
        migrations.AlterField(
            model_name='trialreport',
            name='data_as_of',
            field=models.DateTimeField(blank=True, null=True, verbose_name='newest change in its data'),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
