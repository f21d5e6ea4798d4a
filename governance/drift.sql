-- name: shares
WITH asked AS (
  SELECT s.id AS system_id, tstzrange(greatest(%(since)s, s.made_at), %(at)s) AS whole,
    make_interval(mins => c.freshness_minutes) AS goal
  FROM accounts_system s JOIN provisioning_connection c ON c.system_id = s.id AND c.connector <> 'none'
  WHERE s.id = ANY(%(systems)s) AND s.made_at < %(at)s
),
-- A reading counts from when it was known to be whole until it is older than the goal.
measured AS (
  SELECT a.system_id, range_agg(tstzrange(r.ended_at, r.started_at + a.goal)) AS parts
  FROM asked a JOIN provisioning_snapshot r ON r.system_id = a.system_id AND r.state = 'complete'
  WHERE r.ended_at < r.started_at + a.goal AND r.ended_at < %(at)s AND r.started_at + a.goal > lower(a.whole)
  GROUP BY a.system_id
),
differing AS (
  SELECT f.system_id, range_agg(tstzrange(f.first_seen_at, greatest(f.first_seen_at, coalesce(f.resolved_at, %(at)s)))) AS parts
  FROM accounts_finding f
  WHERE f.system_id = ANY(%(systems)s) AND f.kind = ANY(%(kinds)s) AND f.state <> 'false_positive'
    AND f.first_seen_at < %(at)s AND (f.resolved_at IS NULL OR f.resolved_at > %(since)s)
  GROUP BY f.system_id
)
SELECT a.system_id, extract(epoch FROM upper(a.whole) - lower(a.whole))::float AS whole,
  coalesce((SELECT sum(extract(epoch FROM upper(p) - lower(p))) FROM unnest(m.parts * tstzmultirange(a.whole)) p), 0)::float AS measured,
  coalesce((SELECT sum(extract(epoch FROM upper(p) - lower(p)))
    FROM unnest((m.parts - coalesce(d.parts, '{}'::tstzmultirange)) * tstzmultirange(a.whole)) p), 0)::float AS equal
FROM asked a LEFT JOIN measured m USING (system_id) LEFT JOIN differing d USING (system_id)

-- name: times
WITH seen AS (
  SELECT f.system_id, f.first_seen_at, f.resolved_at, f.state, (f.evidence->>'read_since')::timestamptz AS read_since
  FROM accounts_finding f
  WHERE f.system_id = ANY(%(systems)s) AND f.kind = ANY(%(kinds)s) AND f.state <> 'false_positive'
    AND (f.first_seen_at >= %(since)s OR f.resolved_at >= %(since)s)
),
-- Each reading that found something, and the complete one before it, which had not shown that.
before AS (
  SELECT w.system_id, w.read_since, (
    SELECT max(r.started_at) FROM provisioning_snapshot r
    WHERE r.system_id = w.system_id AND r.state = 'complete' AND r.started_at < w.read_since
  ) AS equal_at
  FROM (SELECT DISTINCT system_id, read_since FROM seen WHERE read_since IS NOT NULL) w
)
SELECT s.system_id,
  avg(extract(epoch FROM s.first_seen_at - b.equal_at)) FILTER (WHERE s.first_seen_at >= %(since)s)::float AS detect,
  count(b.equal_at) FILTER (WHERE s.first_seen_at >= %(since)s) AS detected,
  avg(extract(epoch FROM s.resolved_at - s.first_seen_at)) FILTER (WHERE s.resolved_at >= %(since)s AND s.state = 'resolved')::float AS heal,
  count(*) FILTER (WHERE s.resolved_at >= %(since)s AND s.state = 'resolved') AS healed
FROM seen s LEFT JOIN before b USING (system_id, read_since)
GROUP BY s.system_id
