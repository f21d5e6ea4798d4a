from django.db import migrations, models

# As Python folds case, and so as `provisioning.changes` and `provisioning.scim` compare: letter by letter, whatever the
# locale of the database. What folds to several letters is replaced one by one, and only where there is any.
_FOLDING = {
    letter: folded
    for letter in map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x110000)))
    if (folded := letter.casefold()) != letter
}
_ONE = {letter: folded for letter, folded in _FOLDING.items() if len(folded) == 1}
_SEVERAL = {letter: folded for letter, folded in _FOLDING.items() if len(folded) > 1}
_REPLACED = "\n".join(f"    folded := replace(folded, '{letter}', '{to}');" for letter, to in _SEVERAL.items())

FUNCTIONS = f"""
CREATE FUNCTION provisioning_casefold(given text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
  folded text := lower(given COLLATE "C");
BEGIN
  IF folded COLLATE "C" ~ '[{"".join(_ONE)}]' THEN
    folded := translate(folded, '{"".join(_ONE)}', '{"".join(_ONE.values())}');
  END IF;
  IF folded COLLATE "C" ~ '[{"".join(_SEVERAL)}]' THEN
{_REPLACED}
  END IF;
  RETURN folded;
END $body$;

-- The instant of an xsd:dateTime, in UTC, to the microsecond below; NULL for any other text. No cast to timestamptz: that
-- would round, refuse zones past 15:59, and fail the whole query for one text that is none.
CREATE FUNCTION provisioning_instant(given text) RETURNS timestamp
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
  parts text[] := regexp_match(given,
    '^(\\d{{4}}-\\d{{2}}-\\d{{2}}T[01]\\d:[0-5]\\d:[0-5]\\d|\\d{{4}}-\\d{{2}}-\\d{{2}}T2[0-3]:[0-5]\\d:[0-5]\\d)'
    '(\\.\\d{{1,6}})?\\d*(?:Z|([+-])(\\d{{2}}):(\\d{{2}}))?$');
  away interval;
BEGIN
  IF parts IS NULL THEN
    RETURN NULL;
  END IF;
  away := make_interval(hours => coalesce(parts[4], '0')::int, mins => coalesce(parts[5], '0')::int);
  RETURN (parts[1] || coalesce(parts[2], ''))::timestamp - CASE WHEN parts[3] = '-' THEN -away ELSE away END;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $body$;
"""
UNDO = "DROP FUNCTION provisioning_instant(text); DROP FUNCTION provisioning_casefold(text);"


class Migration(migrations.Migration):
    """What a filter compares is compared as the server does it, and whatever changed lately is found by index."""

    dependencies = [("provisioning", "0010_seen_by_kind")]

    operations = [
        migrations.RunSQL(FUNCTIONS, UNDO),
        # Groups have no addresses, and stood in it all the same.
        migrations.RemoveIndex(model_name='shadow', name='provisioning_shadow_emails'),
        migrations.AddIndex(
            model_name='shadow',
            index=models.Index(condition=models.Q(('ended_at__isnull', True), ('more_emails', True)), fields=['tenant', 'system', 'resource_type'], name='provisioning_shadow_emails'),
        ),
        migrations.AddIndex(
            model_name='shadow',
            index=models.Index(condition=models.Q(('ended_at__isnull', True)), fields=['tenant', 'system', 'resource_type', 'changed_at'], name='provisioning_shadow_changed'),
        ),
    ]
