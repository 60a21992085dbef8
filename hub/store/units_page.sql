-- name: page
-- Roots of a module that a viewer may see, in the order of creation, with their parts: $1 module, $2 owners' country codes,
-- $3 owners' party ids, $4 from, $5 to (on the newest clock of what is shown), $6 and $7 owners who became visible since $4,
-- $8 after unit_id, $9 offset, $10 limit.
with root as materialized (
    select unit_id, country_code, party_id, object_id
    from listed
    where module = $1 and unit_id > $8
      and (country_code, party_id) in (select * from unnest($2::text[], $3::text[]))
      and (newest >= coalesce($4::timestamptz, '-infinity') or (country_code, party_id) in (select * from unnest($6::text[], $7::text[])))
      and newest < coalesce($5::timestamptz, 'infinity')
    order by unit_id
    offset $9 limit $10
)
select root.unit_id as root_id, u.module, u.country_code, u.party_id, u.object_id, u.evse_uid, u.raw, u.last_updated,
       u.clock, u.is_incomplete, u.log_epoch, u.log_partition, u.log_offset, u.evses_offset, u.platform_id::text, u.tail, u.query
from root join unit u on u.module = $1 and u.country_code = root.country_code and u.party_id = root.party_id
     and u.object_id = root.object_id
order by root.unit_id, u.evse_uid <> '', u.unit_id

-- name: count
-- How many roots the same viewer may see.
select count(*)
from listed
where module = $1
  and (country_code, party_id) in (select * from unnest($2::text[], $3::text[]))
  and (newest >= coalesce($4::timestamptz, '-infinity') or (country_code, party_id) in (select * from unnest($6::text[], $7::text[])))
  and newest < coalesce($5::timestamptz, 'infinity')

-- name: moment_before
-- Not later than the beginning of any transaction of this database that is open now.
select least(now(), min(xact_start)) from pg_stat_activity where datname = current_database()
