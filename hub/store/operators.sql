-- name: order_writers
-- Wait until no other transaction changes the directory, so that what is read now still holds at the commit.
select version from directory_version for update

-- name: add_platform
-- A platform that is awaited.
insert into platform (platform_id, name, status) values ($1, $2, 'invited')

-- name: find_platform
-- Where a platform stands and which tokens it and we hold.
select
    platform_id::text, name, status,
    exists (select 1 from outbound_token o where o.platform_id = p.platform_id) as has_outbound_token,
    exists (
        select 1 from inbound_token i where i.platform_id = p.platform_id and i.kind = 'registration'
    ) as has_registration_token
from platform p where platform_id = $1

-- name: claims
-- Other platforms that hold one of these roles ($4) of a party.
select party.role, platform_id::text, platform.name as platform_name
from party join platform using (platform_id)
where country_code = $1 and party_id = $2 and platform_id is distinct from $3::uuid and party.role = any($4::text[]) and not is_quarantined
order by party.role

-- name: invite_role
-- Bind a role to its platform; a role that the platform named unasked leaves quarantine (D-09).
insert into party (platform_id, country_code, party_id, role, is_invited, is_listed) values ($1, $2, $3, $4, true, $5)
on conflict (platform_id, country_code, party_id, role)
do update set is_invited = true, is_quarantined = false, last_updated = now(),
    visible_since = case when party.is_quarantined then now() else party.visible_since end

-- name: drop_registration_tokens
-- Token A that was given before opens nothing any more.
delete from inbound_token where platform_id = $1 and kind = 'registration'

-- name: add_registration_token
-- A new token A, as keyed hash.
insert into inbound_token (token_hash, platform_id, kind) values ($1, $2, 'registration')

-- name: set_status
-- The operator's word on a platform.
update platform set status = $2, updated_at = now() where platform_id = $1

-- name: set_stale
-- What becomes of a platform's pushes that are older than what is held (D-11).
update platform set stale = $2, updated_at = now() where platform_id = $1

-- name: set_quirks
-- The habits of a platform that the hub serves.
update platform set quirks = $2, updated_at = now() where platform_id = $1

-- name: quirks
-- The habits of a platform that the hub serves, and its name.
select name, quirks from platform where platform_id = $1

-- name: touch_roles
-- The status of these parties changes now, as others see it in hubclientinfo.
update party set last_updated = now() where platform_id = $1

-- name: add_audit
-- What an operator did.
insert into audit (operator, action, subject, detail) values ($1, $2, $3, $4::jsonb)

-- name: platforms
-- Every platform, or the one named, or those that host a party.
select platform_id::text, name, status, is_online, ocpi_version, versions_url, created_at, updated_at
from platform
where ($1::uuid is null or platform_id = $1)
    and ($2::text is null or platform_id in (
        select platform_id from party where country_code = $2 and party_id = $3 and not is_quarantined
    ))
order by name, platform_id

-- name: parties
-- Every role of every party, or those of one platform.
select
    country_code || '/' || party_id as party, party.role, platform_id::text, platform.name as platform_name,
    platform.status as platform_status, platform.is_online, is_invited, is_quarantined, is_listed, last_updated
from party join platform using (platform_id)
where $1::uuid is null or platform_id = $1
order by country_code, party_id, party.role, platform.name

-- name: endpoints
-- What a platform published.
select module, interface, url from endpoint where platform_id = $1 order by module, interface

-- name: tokens
-- The tokens between a platform and us, without any trace of their values.
select 'inbound' as direction, kind, created_at, expires_at, null as encoding
from inbound_token where platform_id = $1
union all
select 'outbound', 'access', created_at, null, encoding from outbound_token where platform_id = $1
order by direction, created_at

-- name: drop_platform
-- A platform that was made for a connection that failed; its roles and tokens go with it.
delete from platform where platform_id = $1
