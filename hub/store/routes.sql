-- name: remember
-- Insert or renew many routes at once; a session keeps one counterpart, the latest.
insert into route (kind, key, owner_country_code, owner_party_id, counterpart_country_code, counterpart_party_id,
                   expires_at, updated_at)
select kind, key, owner_country_code, owner_party_id, counterpart_country_code, counterpart_party_id, expires_at, now()
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
     as given (kind, key, owner_country_code, owner_party_id, counterpart_country_code, counterpart_party_id, expires_at)
order by kind, key, owner_country_code, owner_party_id
on conflict (kind, key, owner_country_code, owner_party_id) do update
set counterpart_country_code = excluded.counterpart_country_code,
    counterpart_party_id = excluded.counterpart_party_id,
    expires_at = excluded.expires_at,
    updated_at = now()

-- name: find
-- Every live route under many (kind, key) at once.
select kind, key, owner_country_code, owner_party_id, counterpart_country_code, counterpart_party_id
from route
where (kind, key) in (select * from unnest($1::text[], $2::text[])) and (expires_at is null or expires_at > now())

-- name: forget_expired
-- Delete routes that ran out.
delete from route where expires_at < now()
