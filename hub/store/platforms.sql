-- name: find_inbound
-- What a token opens now, and where its platform stands.
select i.kind, p.status from inbound_token i join platform p using (platform_id)
where token_hash = $1 and (expires_at is null or expires_at > now())

-- name: set_connection
-- A handshake succeeded: what was agreed. A suspended platform stays suspended. Says whether others see the platform change.
update platform
set status = case when status = 'suspended' then status else 'connected' end,
    ocpi_version = $2, versions_url = $3, is_online = true, updated_at = now()
where platform_id = $1
returning old.status <> new.status or not old.is_online

-- name: name_platform
-- The platform's own name, in place of the party id that stood for it; what an operator called it stays.
update platform set name = first.name
from (
    select given.name
    from unnest($2::text[], $3::text[], $4::text[], $5::text[]) with ordinality
        as given (country_code, party_id, role, name, place)
    join party using (country_code, party_id, role)
    where party.platform_id = $1 and party.is_invited and given.name <> ''
    order by place limit 1
) first
where platform.platform_id = $1 and platform.name in (
    select country_code || '/' || party_id from party where platform_id = $1 and is_invited
)

-- name: end_connection
-- The connection is over; agreements, routes and links stay (D-08). A suspended platform stays suspended.
update platform
set status = case when status = 'suspended' then status else 'unregistered' end, updated_at = now()
where platform_id = $1

-- name: clear_endpoints
-- Forget what a platform published.
delete from endpoint where platform_id = $1

-- name: add_endpoints
-- What a platform publishes now.
insert into endpoint (platform_id, module, interface, url)
select $1, module, interface, url from unnest($2::text[], $3::text[], $4::text[]) as given (module, interface, url)

-- name: unlist_roles
-- Roles that the new list ($2 to $4) lacks are listed no more (CR-30).
update party set is_listed = false, last_updated = now()
where platform_id = $1 and is_listed and (country_code, party_id, role) not in (
    select country_code, party_id, role from unnest($2::text[], $3::text[], $4::text[]) as given (country_code, party_id, role)
)

-- name: list_roles
-- The roles of the list; one without an invitation is quarantined (D-09). A role that was listed before has not changed.
insert into party (platform_id, country_code, party_id, role, business_details, is_quarantined, is_listed, visible_since)
select $1, country_code, party_id, role, business_details, true, true, now()
from unnest($2::text[], $3::text[], $4::text[], $5::text[]) as given (country_code, party_id, role, business_details)
on conflict (platform_id, country_code, party_id, role)
do update set is_listed = true, business_details = excluded.business_details,
    visible_since = case when party.is_listed then coalesce(party.visible_since, now()) else now() end,
    last_updated = case when party.is_listed then party.last_updated else now() end

-- name: forget_unlisted
-- Roles that are neither invited nor listed any more.
delete from party where platform_id = $1 and not is_invited and not is_listed

-- name: touch_roles
-- The status of these parties changes now, as others see it in hubclientinfo.
update party set last_updated = now() where platform_id = $1

-- name: add_token
-- A new inbound access token, as keyed hash, for as long as $3 says (null: until it is replaced).
insert into inbound_token (token_hash, platform_id, kind, expires_at) values ($1, $2, 'access', $3)

-- name: keep_token
-- A token that was on trial stays.
update inbound_token set expires_at = null, is_replaced = false where token_hash = $1

-- name: keep_undecided
-- A token that was on trial stays as the youngest: what the platform may have got meanwhile counts as older.
update inbound_token set expires_at = null, is_replaced = false, created_at = now() where token_hash = $1

-- name: drop_undecided
-- Earlier tokens of which nobody knows whether the platform took them go; what it had before them, its oldest, stays.
delete from inbound_token
where platform_id = $1 and kind = 'access' and expires_at is null and not is_replaced and created_at > (
    select min(created_at) from inbound_token
    where platform_id = $1 and kind = 'access' and expires_at is null and not is_replaced
)

-- name: drop_token
-- A token that was on trial goes.
delete from inbound_token where token_hash = $1

-- name: drop_tokens
-- No token of this platform opens anything any more.
delete from inbound_token where platform_id = $1

-- name: forget_viewer
-- Nothing that the platform was told of others counts any more: its next registration begins anew (D-26).
delete from client_info_viewer where viewer_id = $1

-- name: replace_tokens
-- All other tokens of the platform: registration tokens and those run out go, access tokens live on until $3 (AM-21).
with gone as (
    delete from inbound_token
    where platform_id = $1 and token_hash <> $2 and (kind = 'registration' or expires_at <= now())
)
update inbound_token set is_replaced = true, expires_at = least(coalesce(expires_at, $3), $3)
where platform_id = $1 and token_hash <> $2 and kind = 'access' and (expires_at is null or expires_at > now())

-- name: retire_tokens
-- The new token ($2) was used, so the replaced ones go (AM-21), unless it has itself been replaced meanwhile.
delete from inbound_token where platform_id = $1 and kind = 'access' and is_replaced and exists (
    select from inbound_token used where used.token_hash = $2 and not used.is_replaced and used.expires_at is null
)
returning 1

-- name: set_outbound_token
-- The token that we show from now on.
insert into outbound_token (platform_id, sealed, key_id, encoding) values ($1, $2, $3, $4)
on conflict (platform_id) do update
set sealed = excluded.sealed, key_id = excluded.key_id, encoding = excluded.encoding, created_at = now()

-- name: claim_renewal
-- One connected platform that is shown a token older than $1 and was not tried within $2; the try counts from now.
update outbound_token set renewal_tried_at = now()
where platform_id = (
    select o.platform_id from outbound_token o join platform p using (platform_id)
    where p.status = 'connected' and p.is_online
      and o.created_at < now() - $1::interval and o.renewal_tried_at < now() - $2::interval
    order by o.created_at limit 1
    for update of o skip locked
)
returning platform_id::text

-- name: drop_outbound_token
-- We show nothing any more.
delete from outbound_token where platform_id = $1

-- name: client_infos
-- Every role with where its platform stands and when that last changed. Only a platform's own list brings business details.
select p.platform_id::text, p.status, p.is_online, party.country_code, party.party_id, party.role, party.is_listed,
       party.business_details is not null as was_ever_listed, party.last_updated
from party join platform p using (platform_id)
where not party.is_quarantined
order by p.created_at, p.platform_id, country_code, party_id, role
