-- name: read
-- Objects by their whole keys.
select platform_id::text, country_code, party_id, module, owner_country_code, owner_party_id, object_id,
       raw, last_updated, whole_at, revision
from directed
where (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id)
      in (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]))

-- name: write
-- Insert or replace objects, each unless it was changed since the revision before the given one was read; the numbers, from 1, of
-- those that were not written.
with given as (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::timestamptz[], $10::timestamptz[], $11::bigint[]) with ordinality
        as given (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id,
                  raw, last_updated, whole_at, revision, number)
), written as (
    insert into directed (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id,
                          raw, last_updated, whole_at, revision)
    select platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id,
           raw, last_updated, whole_at, revision
    from given
    order by 1, 2, 3, 4, 5, 6, 7
    on conflict (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id) do update
    set raw = excluded.raw, last_updated = excluded.last_updated, whole_at = excluded.whole_at, revision = excluded.revision
    where directed.revision = excluded.revision - 1
    returning platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id
)
select number from given left join written
    using (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id)
where written.object_id is null

-- name: replace
-- Insert or replace objects by whole ones, each unless something newer is held of it, or patches only; the numbers, from 1, of those
-- that were not written.
with given as (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::timestamptz[]) with ordinality
        as given (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id,
                  raw, last_updated, number)
), written as (
    insert into directed (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id,
                          raw, last_updated, whole_at, revision)
    select platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id,
           raw, last_updated, last_updated, 1
    from given
    order by 1, 2, 3, 4, 5, 6, 7
    on conflict (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id) do update
    set raw = excluded.raw, last_updated = excluded.last_updated, whole_at = excluded.whole_at, revision = directed.revision + 1
    where directed.last_updated <= excluded.last_updated and directed.whole_at is not null
    returning platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id
)
select number from given left join written
    using (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id)
where written.object_id is null

-- name: page
-- What an addressee ($1 to $3) has in a module ($4), in the order of creation: $5 from and $6 to (on the object's own clock),
-- $7 after directed_id, $8 offset, $9 limit.
select directed_id, raw
from directed
where platform_id = $1 and country_code = $2 and party_id = $3 and module = $4 and whole_at is not null and directed_id > $7
      and last_updated >= coalesce($5::timestamptz, '-infinity') and last_updated < coalesce($6::timestamptz, 'infinity')
order by directed_id
offset $8 limit $9

-- name: count
-- How many objects the same addressee has.
select count(*)
from directed
where platform_id = $1 and country_code = $2 and party_id = $3 and module = $4 and whole_at is not null
      and last_updated >= coalesce($5::timestamptz, '-infinity') and last_updated < coalesce($6::timestamptz, 'infinity')

-- name: forget_old
-- Delete at most $2 objects whose own clock is older than $1.
delete from directed
where ctid = any (array(select ctid from directed where last_updated < $1 limit $2 for update skip locked))
