-- name: page
-- Roots of a module that a viewer may see, in the order of creation, with their parts: $1 module, $2 owners' country codes,
-- $3 owners' party ids, $4 from, $5 to (on the newest clock of what is shown), $6 after unit_id, $7 offset, $8 limit.
with root as (
    select r.unit_id, r.country_code, r.party_id, r.object_id
    from unit r
    cross join lateral (select max(e.last_updated) as newest from unit e
        where ($4::timestamptz is not null or $5::timestamptz is not null) and e.module = r.module
          and e.country_code = r.country_code and e.party_id = r.party_id and e.object_id = r.object_id
          and e.evse_uid <> '' and e.raw is not null) parts
    where r.module = $1 and r.evse_uid = '' and r.raw is not null
      and (r.country_code, r.party_id) in (select * from unnest($2::text[], $3::text[]))
      and r.unit_id > $6
      and ($4::timestamptz is null or greatest(r.last_updated, parts.newest) >= $4)
      and ($5::timestamptz is null or greatest(r.last_updated, parts.newest) < $5)
    order by r.unit_id
    offset $7 limit $8
)
select root.unit_id as root_id, u.module, u.country_code, u.party_id, u.object_id, u.evse_uid, u.raw, u.last_updated,
       u.clock, u.is_incomplete, u.log_epoch, u.log_partition, u.log_offset, u.evses_offset, u.platform_id::text, u.tail, u.query
from root join unit u on u.module = $1 and u.country_code = root.country_code and u.party_id = root.party_id
     and u.object_id = root.object_id
order by root.unit_id, u.evse_uid <> '', u.unit_id

-- name: count
-- How many roots the same viewer may see.
select count(*)
from unit r
cross join lateral (select max(e.last_updated) as newest from unit e
    where ($4::timestamptz is not null or $5::timestamptz is not null) and e.module = r.module
      and e.country_code = r.country_code and e.party_id = r.party_id and e.object_id = r.object_id
      and e.evse_uid <> '' and e.raw is not null) parts
where r.module = $1 and r.evse_uid = '' and r.raw is not null
  and (r.country_code, r.party_id) in (select * from unnest($2::text[], $3::text[]))
  and ($4::timestamptz is null or greatest(r.last_updated, parts.newest) >= $4)
  and ($5::timestamptz is null or greatest(r.last_updated, parts.newest) < $5)
