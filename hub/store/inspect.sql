-- name: units
-- Every unit of one root object, the root first.
select
    module, country_code || '/' || unit.party_id as party, object_id, evse_uid, raw, unit.last_updated, clock,
    is_incomplete, log_epoch, log_offset, unit.changed_at, unit.platform_id::text, platform.name as platform_name,
    platform.status as platform_status
from unit left join platform using (platform_id)
where module = $1 and country_code = $2 and unit.party_id = $3 and object_id = any($4::text[])
order by object_id, evse_uid

-- name: platforms_by_status
-- How many platforms stand where.
select status as name, count(*) from platform group by status order by status

-- name: parties_by_role
-- How many routable parties there are in each role.
select role as name, count(*) from party where is_listed and not is_quarantined group by role order by role

-- name: objects_by_module
-- How many root objects are held, tombstones included.
select module as name, count(*) from unit where evse_uid = '' group by module order by module

-- name: holders
-- Live processes, the directory version each holds and for how long its lease runs.
select process_id, name, version, extract(epoch from expires_at - now())::double precision as lease_seconds
from directory_holder where expires_at > now() order by name, process_id

-- name: recent
-- What became of messages in the last minutes.
select kind, verdict, sum(count)::bigint as count
from exchange_rollup where minute >= date_trunc('minute', now()) - make_interval(mins => $1)
group by kind, verdict order by kind, verdict

-- name: directory_version
-- The version that every process should hold.
select version from directory_version
