-- name: issue
-- Store many URLs at once.
insert into issued_url (url_id, kind, bound_platform_id, bound_country_code, bound_party_id,
                        target_platform_id, target_country_code, target_party_id, target_url, correlation_id, expires_at)
select * from unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[],
                     $6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[])
on conflict (url_id) do nothing

-- name: find
-- Live URLs by id.
select url_id, kind, bound_platform_id::text, bound_country_code, bound_party_id,
       target_platform_id::text, target_country_code, target_party_id, target_url, correlation_id
from issued_url where url_id = any($1::text[]) and (expires_at is null or expires_at > now())

-- name: forget_expired
-- Delete URLs that ran out.
delete from issued_url where expires_at < now()
