-- name: platforms
-- Every platform with its outbound token as it rests.
select p.platform_id::text, p.name, p.status, p.ocpi_version, p.versions_url, p.is_online, p.stale, p.quirks,
       o.sealed, o.encoding
from platform p left join outbound_token o using (platform_id)

-- name: parties
-- Every role that a platform lists, quarantined ones included, and those that are its own though it does not list them.
select platform_id::text, country_code, party_id, role, is_quarantined, is_listed, visible_since
from party where is_listed or not is_quarantined
order by country_code, party_id, role

-- name: endpoints
-- Every endpoint of every platform.
select platform_id::text, module, interface, url from endpoint

-- name: tokens
-- Inbound tokens that have not run out.
select token_hash, platform_id::text, kind, expires_at, is_replaced
from inbound_token where expires_at is null or expires_at > now()

-- name: version
-- The current version.
select version from directory_version

-- name: bump
-- Raise the version; the lock orders the writers.
update directory_version set version = version + 1 returning version

-- name: notify
-- Tell every process.
select pg_notify('directory', $1)

-- name: hold
-- A process holds this version for the length of its lease ($4 seconds).
insert into directory_holder (process_id, name, version, expires_at)
values ($1, $2, $3, now() + make_interval(secs => $4))
on conflict (process_id) do update set version = excluded.version, expires_at = excluded.expires_at

-- name: let_go
-- A process ends: it holds nothing any more. Forgets processes whose lease ran out long ago.
delete from directory_holder where process_id = $1 or expires_at < now() - interval '1 hour'

-- name: behind
-- Live processes that hold an older version than $1.
select count(*) from directory_holder where expires_at > now() and version < $1

-- name: holders
-- Live processes and what they hold.
select process_id, name, version, expires_at from directory_holder where expires_at > now() order by name, process_id

-- name: find_token
-- One inbound token by its hash: whether a snapshot that lacks it is merely old.
select 1 from inbound_token where token_hash = $1 and (expires_at is null or expires_at > now())
