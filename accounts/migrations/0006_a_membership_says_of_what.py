from django.db import migrations, models


class Migration(migrations.Migration):
    """A membership says of which type its member is, and is found by its member's id: no answer joins for either.

    The index that goes says no more than the constraint of the same columns, which now has the type beside them: an
    answer about a group reads that index, and no row.
    """

    dependencies = [("accounts", "0005_strict_and_parked")]

    operations = [
        migrations.AddField(
            model_name='historicalmembership',
            name='origin_type',
            field=models.CharField(blank=True, db_default='', default='', max_length=32),
        ),
        migrations.AddField(
            model_name='membership',
            name='origin_type',
            field=models.CharField(blank=True, db_default='', default='', max_length=32),
        ),
        migrations.RemoveIndex(
            model_name='membership',
            name='accounts_membership_of_group',
        ),
        migrations.RemoveConstraint(
            model_name='membership',
            name='accounts_membership_once_per_system',
        ),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True), ('origin', 'system')), fields=('tenant', 'group', 'system', 'origin_ref'), include=('origin_type',), name='accounts_membership_once_per_system'),
        ),
        migrations.AddIndex(
            model_name='membership',
            index=models.Index(condition=models.Q(('ended_at__isnull', True), ('origin', 'system')), fields=['tenant', 'origin_ref'], name='accounts_membership_of_member'),
        ),
    ]
