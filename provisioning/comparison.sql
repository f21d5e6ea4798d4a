-- The comparisons of provisioning/comparison.py: one statement each, whatever the number of accounts.
-- Parameters: snapshot, system, since (when the reading began). Row-level security keeps to the tenant.

-- name: matched
-- What was staged, with the living resource of ours that it is. Two halves: an OR could be neither looked up nor hashed.
WITH matched AS (
  SELECT s.id, s.resource_type, s.account_id, s.group_id, s.name, s.name_key, s.display_name_key, s.wants_active,
         s.made_at, s.changed_at,
         r.remote_id, r.active, r.means_active, r.name AS there, r.name_key AS there_key, r.document AS seen
    FROM provisioning_stagedresource r JOIN provisioning_shadow s
      ON s.resource_type = r.resource_type AND s.external_id = r.remote_id
   WHERE r.snapshot_id = %(snapshot)s AND s.system_id = %(system)s AND s.ended_at IS NULL AND s.external_id <> ''
  UNION ALL
  SELECT s.id, s.resource_type, s.account_id, s.group_id, s.name, s.name_key, s.display_name_key, s.wants_active,
         s.made_at, s.changed_at,
         r.remote_id, r.active, r.means_active, r.name, r.name_key, r.document
    FROM provisioning_stagedresource r JOIN provisioning_shadow s
      ON s.resource_type = r.resource_type AND s.name_key = r.name_key
   WHERE r.snapshot_id = %(snapshot)s AND s.system_id = %(system)s AND s.ended_at IS NULL AND s.external_id = ''
)

-- name: status over matched
-- One side off, the other not. Off there is what shows itself inactive, or is by the rules for that system (`means`).
-- Pending counts only where the last word to us was inactive.
SELECT m.id AS shadow_id, m.account_id, m.remote_id, a.user_name, a.state, a.is_privileged, m.active, m.means_active, m.seen->>'because' AS because,
       (m.active IS FALSE OR m.means_active IS FALSE) AS is_off_there,
       EXISTS (SELECT FROM provisioning_plan p WHERE p.account_id = a.id AND p.kind = 'reactivation'
               AND p.state IN ('waiting', 'approved', 'executing')) AS is_asked_back
  FROM matched m JOIN accounts_account a ON a.id = m.account_id
 WHERE m.changed_at <= %(since)s AND a.state_since <= %(since)s
   AND CASE WHEN m.active IS FALSE OR m.means_active IS FALSE THEN a.state = 'active'
            ELSE a.state IN ('suspended', 'deprovisioned', 'archived') OR a.state = 'pending' AND NOT m.wants_active END
 ORDER BY a.user_name, a.id

-- name: fields over matched
-- Names that differ, of what has not ended.
SELECT m.resource_type, m.account_id, m.group_id, m.id AS shadow_id, m.remote_id, m.name, m.there, m.there_key,
       m.name_key <> m.there_key AS is_renamed,
       coalesce(s.document->>'displayName', '') AS displayed, m.seen->>'displayName' AS displayed_there,
       coalesce(m.seen->>'displayNameKey', '') NOT IN ('', m.display_name_key) AS is_displayed_otherwise
  FROM matched m JOIN provisioning_shadow s ON s.id = m.id LEFT JOIN accounts_account a ON a.id = m.account_id
 WHERE m.changed_at <= %(since)s AND coalesce(a.state, 'active') NOT IN ('deprovisioned', 'archived')
   AND (m.name_key <> m.there_key OR coalesce(m.seen->>'displayNameKey', '') NOT IN ('', m.display_name_key))
 ORDER BY m.name_key, m.id

-- name: unknown
-- Staged, and no living resource here. One that was deleted here, and is still there, is no stranger.
WITH gone AS (
  SELECT DISTINCT ON (s.resource_type, s.external_id, CASE WHEN s.external_id = '' THEN s.name_key END)
         s.resource_type, s.external_id, CASE WHEN s.external_id = '' THEN s.name_key ELSE '' END AS name_key,
         s.account_id, s.changed_at
    FROM provisioning_shadow s
   WHERE s.system_id = %(system)s AND s.ended_at IS NOT NULL
   ORDER BY s.resource_type, s.external_id, CASE WHEN s.external_id = '' THEN s.name_key END, s.ended_at DESC
)
SELECT r.resource_type, r.remote_id, r.name, r.active, a.id AS account_id, a.user_name, a.state, a.is_privileged,
       (r.active IS FALSE OR r.means_active IS FALSE) AS is_off_there
  FROM provisioning_stagedresource r
  LEFT JOIN gone i ON i.resource_type = r.resource_type AND i.external_id = r.remote_id AND i.external_id <> ''
  LEFT JOIN gone n ON n.resource_type = r.resource_type AND n.name_key = r.name_key AND n.external_id = ''
  LEFT JOIN accounts_account a ON a.id = coalesce(i.account_id, n.account_id)
 WHERE r.snapshot_id = %(snapshot)s
   AND coalesce(i.changed_at <= %(since)s, true) AND coalesce(n.changed_at <= %(since)s, true)
   AND NOT EXISTS (SELECT FROM provisioning_shadow s WHERE s.system_id = %(system)s AND s.ended_at IS NULL
                   AND s.resource_type = r.resource_type AND s.external_id = r.remote_id AND s.external_id <> '')
   AND NOT EXISTS (SELECT FROM provisioning_shadow s WHERE s.system_id = %(system)s AND s.ended_at IS NULL
                   AND s.resource_type = r.resource_type AND s.name_key = r.name_key AND s.external_id = '')
 ORDER BY r.resource_type, r.name_key, r.remote_id

-- name: missing
-- Living here, and not staged; of the types that can be read there.
SELECT s.id AS shadow_id, s.resource_type, s.account_id, s.group_id, s.name, s.name_key, s.external_id, a.user_name,
       a.state, a.is_privileged
  FROM provisioning_shadow s LEFT JOIN accounts_account a ON a.id = s.account_id
 WHERE s.system_id = %(system)s AND s.ended_at IS NULL AND s.changed_at <= %(since)s
   AND s.resource_type = ANY(%(types)s)
   AND coalesce(a.state, 'active') NOT IN ('deprovisioned', 'archived')
   AND NOT EXISTS (SELECT FROM provisioning_stagedresource r WHERE r.snapshot_id = %(snapshot)s
                   AND r.resource_type = s.resource_type AND r.remote_id = s.external_id AND s.external_id <> '')
   AND NOT EXISTS (SELECT FROM provisioning_stagedresource r WHERE r.snapshot_id = %(snapshot)s
                   AND r.resource_type = s.resource_type AND r.name_key = s.name_key AND s.external_id = '')
 ORDER BY s.resource_type, s.name_key, s.id

-- name: removed over matched
-- Members here that their group no longer shows, where both were read. A server that shows no member of any group
-- doesn't show members: from that nothing follows.
SELECT v.id AS shadow_id, g.id AS group_id, g.display_name, g.display_name_key, m.origin_ref, m.account_id, a.state AS account_state,
       coalesce(a.user_name, w.name) AS member, g.is_privileged OR coalesce(a.is_privileged, false) AS is_privileged
  FROM matched v
  JOIN accounts_group g ON g.id = v.group_id
  JOIN accounts_membership m
    ON m.group_id = v.group_id AND m.system_id = %(system)s AND m.origin = 'system' AND m.ended_at IS NULL
  JOIN matched w ON w.id = m.origin_ref
  LEFT JOIN accounts_account a ON a.id = m.account_id
 WHERE v.changed_at <= %(since)s AND m.since <= %(since)s
   AND EXISTS (SELECT FROM provisioning_stagedmember WHERE snapshot_id = %(snapshot)s)
   AND NOT EXISTS (SELECT FROM provisioning_stagedmember t WHERE t.snapshot_id = %(snapshot)s
                   AND t.group_id = v.remote_id AND t.member_id = w.remote_id)
 ORDER BY g.display_name_key, member, m.origin_ref

-- name: added over matched
-- Members there that are none here. What ended here since the reading began may have been read before.
SELECT DISTINCT v.id AS shadow_id, g.id AS group_id, g.display_name, g.display_name_key, w.id AS origin_ref, w.account_id,
       coalesce(a.user_name, w.name) AS member, g.is_privileged OR coalesce(a.is_privileged, false) AS is_privileged
  FROM provisioning_stagedmember t
  JOIN matched v ON v.remote_id = t.group_id AND v.resource_type = 'Group'
  JOIN accounts_group g ON g.id = v.group_id
  JOIN matched w ON w.remote_id = t.member_id
  LEFT JOIN accounts_account a ON a.id = w.account_id
 WHERE t.snapshot_id = %(snapshot)s AND v.changed_at <= %(since)s AND w.made_at <= %(since)s
   AND NOT EXISTS (SELECT FROM accounts_membership m WHERE m.group_id = v.group_id AND m.system_id = %(system)s
                   AND m.origin = 'system' AND m.origin_ref = w.id
                   AND (m.ended_at IS NULL OR m.ended_at > %(since)s))
 ORDER BY g.display_name_key, member, origin_ref

-- name: unjudged
-- Findings that this reading can't judge: their subject has changed, or they were seen, since it began; or they are
-- about what can't be read there.
SELECT f.dedupe_key FROM accounts_finding f
 WHERE f.system_id = %(system)s AND f.kind = ANY(%(kinds)s) AND f.state = ANY(%(live)s)
   AND (f.last_seen_at > %(since)s
        OR f.kind = 'membership_differs' AND %(unread)s
        OR f.subject_kind IN ('group', 'remote_group') AND 'Group' <> ALL(%(types)s)
        OR EXISTS (SELECT FROM accounts_account a WHERE a.id = f.account_id AND a.state_since > %(since)s)
        OR EXISTS (SELECT FROM provisioning_shadow s WHERE s.system_id = %(system)s AND s.changed_at > %(since)s
                   AND (s.account_id = f.account_id
                        OR f.subject_kind = 'group' AND s.group_id::text = f.subject_id)))
