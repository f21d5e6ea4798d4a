-- Events that were thought lost and have come since. Parameters: system, horizon (plans before it are left as they are).

-- name: lost_repairs
-- What was repaired for lost events, with the resource about which the event would be, and the cause of its plan.
SELECT p.id AS change, p.act, p.account_id AS account, p.group_id AS grp, p.member_ref AS member,
       s.id AS about, b.cause_id AS planned_by
  FROM provisioning_plannedchange p
  JOIN provisioning_plan l ON l.id = p.plan_id AND l.kind = 'reading' AND l.system_id = %(system)s AND l.asked_at > %(horizon)s
  JOIN provisioning_historicalplannedchange b ON b.id = p.id AND b.history_type = '+'
  JOIN provisioning_shadow s ON s.system_id = l.system_id
   AND CASE WHEN p.act = 'remove_member' THEN s.group_id = p.group_id ELSE s.account_id = p.account_id END
 WHERE p.attribution = 'lost_event' AND p.act IN ('deprovision', 'remove_member')

-- name: late_comings
-- Findings of lost events about what is there or here alone, and the exchange that has made or ended it since. Three
-- parts: by an OR, each finding would be compared with each resource.
WITH asked AS MATERIALIZED (
  SELECT f.id, f.system_id, f.kind, f.dedupe_key, f.account_id, f.subject_kind, f.subject_id, f.evidence->>'remote_id' AS remote_id
    FROM accounts_finding f
   WHERE f.system_id = %(system)s AND f.attribution = 'lost_event' AND f.kind IN ('unknown_here', 'missing_there')
     AND f.last_seen_at > %(horizon)s
), f AS MATERIALIZED (
  SELECT a.id, a.kind, a.dedupe_key, s.id AS shadow FROM asked a JOIN provisioning_shadow s
      ON s.system_id = a.system_id AND s.external_id = a.remote_id AND s.external_id <> ''
   WHERE a.kind = 'unknown_here'
  UNION ALL
  SELECT a.id, a.kind, a.dedupe_key, s.id FROM asked a JOIN provisioning_shadow s
      ON s.system_id = a.system_id AND s.account_id = a.account_id
   WHERE a.kind = 'missing_there'
  UNION ALL
  SELECT a.id, a.kind, a.dedupe_key, s.id FROM asked a JOIN provisioning_shadow s
      ON s.system_id = a.system_id AND s.group_id::text = a.subject_id
   WHERE a.kind = 'missing_there' AND a.subject_kind = 'group'
)
SELECT DISTINCT ON (f.id) f.dedupe_key AS key, substring(c.subject FROM '^exchange ([0-9a-f-]{36})$') AS exchange
  FROM f
  JOIN accounts_historicalfinding b ON b.id = f.id AND b.history_type = '+'
  JOIN provisioning_historicalshadow h ON h.id = f.shadow AND h.cause_id > b.cause_id
   AND CASE WHEN f.kind = 'unknown_here' THEN h.history_type = '+' ELSE h.ended_at IS NOT NULL END
  JOIN audit_cause c ON c.id = h.cause_id AND c.kind = 'exchange'
 ORDER BY f.id, h.history_id
