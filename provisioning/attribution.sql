-- What the rows say about why no event told of a difference: one statement for a thousand of them.
-- Parameters: run, system, since (when the reading began), and arrays of equal length. Row-level security keeps to the
-- tenant. History and exchanges have the database's own time, and causes its order: what is compared is those.

-- name: clean
-- The last complete reading that did not show a difference: only what came after it can have to do with it.
WITH asked AS (
  SELECT * FROM unnest(%(keys)s::text[], %(shadows)s::uuid[], %(groups)s::uuid[], %(members)s::uuid[], %(types)s::text[],
                       %(remotes)s::text[], %(names)s::text[], %(displays)s::text[])
         AS a (key, shadow, grp, member, kind, remote, name, display)
), clean AS (
  SELECT a.*, (SELECT max(r.started_at) FROM provisioning_run r
                WHERE r.system_id = %(system)s AND r.state = 'closed' AND r.id <> %(run)s
                  AND r.ended_at <= coalesce(f.first_seen_at, %(since)s)) AS clean_at
    FROM asked a
    LEFT JOIN accounts_finding f ON f.dedupe_key = a.key AND f.state = ANY(%(live)s)
)

-- name: of_resources over clean
-- A resource of ours: its system's last words about it, who last moved its account, and which rule counts anew.
SELECT a.key, a.clean_at, s.wants_active, s.document, a.shadow AS about,
       told.history_date AS told_at, told.cause_id AS told_by, said.history_date AS said_at,
       moved.cause_id AS moved_by, moved.kind AS moved_kind, moved.exchange AS moved_exchange,
       (SELECT e.system_id FROM provisioning_exchange e WHERE e.id = moved.exchange) AS moved_system,
       EXISTS (SELECT FROM provisioning_historicalplannedchange p JOIN provisioning_plan l ON l.id = p.plan_id
                WHERE p.cause_id = moved.cause_id AND p.account_id = s.account_id
                  AND l.kind = 'reading' AND l.system_id = s.system_id) AS moved_by_reading,
       shown.exchange AS said_before,
       gone.exchange AS ended_before,
       rule.id AS rule, rule.history_date AS rule_at,
       reducing.id AS waits_reducing, waiting.id AS waits
  FROM clean a
  JOIN provisioning_shadow s ON s.id = a.shadow
  LEFT JOIN accounts_account n ON n.id = s.account_id
  LEFT JOIN LATERAL (
    SELECT h.history_date, h.cause_id FROM provisioning_historicalshadow h
     WHERE h.id = s.id AND h.wants_active = s.wants_active
       AND h.history_id > coalesce((SELECT max(o.history_id) FROM provisioning_historicalshadow o
                                     WHERE o.id = s.id AND o.wants_active <> s.wants_active), 0)
     ORDER BY h.history_id LIMIT 1) told ON true
  LEFT JOIN LATERAL (
    SELECT h.history_id, h.history_date FROM provisioning_historicalshadow h
     WHERE h.id = s.id ORDER BY h.history_id DESC LIMIT 1) said ON true
  LEFT JOIN LATERAL (
    SELECT h.cause_id, c.kind, substring(c.subject FROM '^exchange ([0-9a-f-]{36})$')::uuid AS exchange
      FROM accounts_historicalaccount h JOIN audit_cause c ON c.id = h.cause_id
     WHERE h.id = n.id AND h.state = n.state AND h.state_since = n.state_since
     ORDER BY h.history_id LIMIT 1) moved ON true
  LEFT JOIN LATERAL (
    -- It was called what its system shows, within the hour before the last word.
    SELECT substring(c.subject FROM '^exchange ([0-9a-f-]{36})$')::uuid AS exchange
      FROM provisioning_historicalshadow h JOIN audit_cause c ON c.id = h.cause_id
     WHERE h.id = s.id AND h.history_id < said.history_id AND h.history_date > said.history_date - %(window)s
       AND h.name_key = a.name AND a.display IN ('', h.display_name_key) AND c.kind = 'exchange'
     ORDER BY h.history_id DESC LIMIT 1) shown ON a.name <> ''
  LEFT JOIN LATERAL (
    -- The same id of its system had ended, within the hour before it was made here.
    SELECT substring(c.subject FROM '^exchange ([0-9a-f-]{36})$')::uuid AS exchange
      FROM provisioning_shadow o
      JOIN provisioning_historicalshadow h ON h.id = o.id AND h.ended_at IS NOT NULL
      JOIN audit_cause c ON c.id = h.cause_id
     WHERE o.system_id = s.system_id AND o.external_id = s.external_id AND s.external_id <> ''
       AND o.resource_type = s.resource_type AND o.ended_at BETWEEN s.made_at - %(window)s AND s.made_at
       AND c.kind = 'exchange'
     ORDER BY h.history_id DESC LIMIT 1) gone ON true
  LEFT JOIN LATERAL (
    SELECT h.id, h.history_date FROM provisioning_historicalfieldauthority h
     WHERE (h.system_id = s.system_id OR h.system_id IS NULL) AND (h.field = 'active' OR h.status_from <> '')
     ORDER BY h.history_id DESC LIMIT 1) rule ON true
  LEFT JOIN LATERAL (
    SELECT w.id FROM provisioning_received w
     WHERE w.state IN ('waiting', 'parked') AND w.system_id = s.system_id AND w.reduces
       AND w.lane IN (s.id::text, encode(sha256(convert_to(s.resource_type || ':' || s.external_id, 'UTF8')), 'hex'))
     ORDER BY w.received_at DESC LIMIT 1) reducing ON true
  LEFT JOIN LATERAL (
    SELECT w.id FROM provisioning_received w
     WHERE w.state IN ('waiting', 'parked') AND w.system_id = s.system_id AND NOT w.reduces
       AND w.lane IN (s.id::text, encode(sha256(convert_to(s.resource_type || ':' || s.external_id, 'UTF8')), 'hex'))
     ORDER BY w.received_at DESC LIMIT 1) waiting ON true

-- name: of_members over clean
-- A member of a group, by the ids of the group's resource, of the group and of the member.
SELECT a.key, a.clean_at, a.shadow AS about, a.member::text AS ref,
       moved.cause_id AS told_by, moved.history_date AS told_at, moved.kind AS moved_kind, moved.cause_id AS moved_by,
       moved.exchange AS moved_exchange,
       EXISTS (SELECT FROM provisioning_historicalplannedchange p JOIN provisioning_plan l ON l.id = p.plan_id
                WHERE p.cause_id = moved.cause_id AND p.member_ref = a.member AND p.group_id = a.grp
                  AND l.kind = 'reading') AS moved_by_reading,
       rule.id AS rule, rule.history_date AS rule_at,
       array(SELECT w.id FROM provisioning_received w
              WHERE w.state IN ('waiting', 'parked') AND w.system_id = s.system_id
                AND w.lane IN (s.id::text, encode(sha256(convert_to(s.resource_type || ':' || s.external_id, 'UTF8')), 'hex'))
              ORDER BY w.received_at DESC LIMIT 5) AS waiting
  FROM clean a
  JOIN provisioning_shadow s ON s.id = a.shadow
  LEFT JOIN LATERAL (
    SELECT h.cause_id, h.history_date, c.kind, substring(c.subject FROM '^exchange ([0-9a-f-]{36})$')::uuid AS exchange
      FROM accounts_membership m
      JOIN accounts_historicalmembership h ON h.id = m.id
      JOIN audit_cause c ON c.id = h.cause_id
     WHERE m.group_id = a.grp AND m.origin_ref = a.member AND m.system_id = s.system_id AND m.origin = 'system'
     ORDER BY h.history_id DESC LIMIT 1) moved ON true
  LEFT JOIN LATERAL (
    SELECT h.id, h.history_date FROM provisioning_historicalfieldauthority h
     WHERE (h.system_id = s.system_id OR h.system_id IS NULL) AND h.field = 'members'
     ORDER BY h.history_id DESC LIMIT 1) rule ON true

-- name: of_strangers over clean
-- What is there and none of ours: who said here that it has gone, and whether something waits that would make it.
SELECT a.key, a.clean_at, a.remote, a.name, gone.kind AS gone_kind, gone.cause_id AS gone_by, gone.exchange AS said_gone,
       feed.id AS waits, post.id AS perhaps_waits
  FROM clean a
  LEFT JOIN LATERAL (
    SELECT h.cause_id, c.kind, substring(c.subject FROM '^exchange ([0-9a-f-]{36})$')::uuid AS exchange
      FROM provisioning_shadow o
      JOIN provisioning_historicalshadow h ON h.id = o.id AND h.ended_at IS NOT NULL
      JOIN audit_cause c ON c.id = h.cause_id
     WHERE o.system_id = %(system)s AND o.external_id = a.remote AND o.resource_type = a.kind
     ORDER BY h.history_id DESC LIMIT 1) gone ON a.remote <> ''
  LEFT JOIN LATERAL (
    SELECT w.id FROM provisioning_received w
     WHERE w.state IN ('waiting', 'parked') AND w.system_id = %(system)s
       AND w.lane = encode(sha256(convert_to(a.kind || ':' || a.remote, 'UTF8')), 'hex')
     ORDER BY w.received_at DESC LIMIT 1) feed ON true
  LEFT JOIN LATERAL (
    SELECT w.id FROM provisioning_received w
     WHERE w.state IN ('waiting', 'parked') AND w.system_id = %(system)s AND w.resource_type = a.kind
       AND w.method = 'POST' AND w.source = 'respond-async'
     ORDER BY w.received_at DESC LIMIT 1) post ON true

-- name: refused_creations
-- The newest that were refused: which names they bore is not written beside them.
SELECT e.id, e.outcome, e.intent, e.method, e.at, e.cause_id, e.request_bytes
  FROM provisioning_exchange e
 WHERE e.system_id = %(system)s AND e.resource_id IS NULL AND e.method = 'POST' AND e.replays IS NULL
   AND e.outcome IN ('rejected', 'parked') AND e.id < %(tomorrow)s
 ORDER BY e.id DESC LIMIT %(most)s

-- name: words
-- The newest exchanges about each of these resources, without what they say.
SELECT r.id AS about, e.id, e.outcome, e.intent, e.method, e.at, e.cause_id, e.request_bytes
  FROM unnest(%(about)s::uuid[]) AS r (id)
 CROSS JOIN LATERAL (
   SELECT * FROM provisioning_exchange x
    WHERE x.resource_id = r.id AND x.replays IS NULL AND x.id < %(tomorrow)s
    ORDER BY x.id DESC LIMIT %(most)s) e
 ORDER BY r.id, e.id DESC
