-- name: lock_units
-- Units by key, locked in key order.
select module, country_code, party_id, object_id, evse_uid, raw, last_updated, clock, is_incomplete,
       log_epoch, log_partition, log_offset, evses_offset, platform_id::text, tail, query
from unit
where (module, country_code, party_id, object_id, evse_uid)
      in (select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]))
order by module, country_code, party_id, object_id, evse_uid
for update

-- name: lock_evses
-- All EVSEs of many Locations, locked in key order.
select module, country_code, party_id, object_id, evse_uid, raw, last_updated, clock, is_incomplete,
       log_epoch, log_partition, log_offset, evses_offset, platform_id::text, tail, query
from unit
where (country_code, party_id, object_id) in (select * from unnest($1::text[], $2::text[], $3::text[]))
      and module = 'locations' and evse_uid <> ''
order by module, country_code, party_id, object_id, evse_uid
for update

-- name: write
-- Insert or replace many units; a row that a later record of the same log has written stays.
insert into unit (module, country_code, party_id, object_id, evse_uid, raw, last_updated, clock, is_incomplete,
                  log_epoch, log_partition, log_offset, evses_offset, platform_id, tail, query)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                     $8::timestamptz[], $9::boolean[], $10::text[], $11::integer[], $12::bigint[], $13::bigint[], $14::uuid[],
                     $15::text[], $16::text[])
on conflict (module, country_code, party_id, object_id, evse_uid) do update
set raw = excluded.raw, last_updated = excluded.last_updated, clock = excluded.clock,
    is_incomplete = excluded.is_incomplete, log_epoch = excluded.log_epoch, log_partition = excluded.log_partition,
    log_offset = excluded.log_offset, evses_offset = excluded.evses_offset, platform_id = excluded.platform_id,
    tail = excluded.tail, query = excluded.query, changed_at = now()
where unit.log_epoch <> excluded.log_epoch or unit.log_offset <= excluded.log_offset

-- name: remove
-- EVSEs that their Location no longer has, unless a later record of the same log wrote them.
delete from unit using unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
     as gone (module, country_code, party_id, object_id, evse_uid, log_epoch, log_offset)
where unit.module = gone.module and unit.country_code = gone.country_code and unit.party_id = gone.party_id
      and unit.object_id = gone.object_id and unit.evse_uid = gone.evse_uid
      and (unit.log_epoch <> gone.log_epoch or unit.log_offset <= gone.log_offset)

-- name: read_root
-- One root with its parts, the root first, the parts in the order in which they came.
select module, country_code, party_id, object_id, evse_uid, raw, last_updated, clock, is_incomplete,
       log_epoch, log_partition, log_offset, evses_offset, platform_id::text, tail, query
from unit
where module = $1 and country_code = $2 and party_id = $3 and object_id = $4
order by evse_uid <> '', unit_id

-- name: read_roots
-- Roots ($1 to $4) with their parts, each root first, the parts in the order in which they came.
select unit.module, unit.country_code, unit.party_id, unit.object_id, evse_uid, raw, last_updated, clock, is_incomplete,
       log_epoch, log_partition, log_offset, evses_offset, platform_id::text, tail, query
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality
    as asked (module, country_code, party_id, object_id, number)
join unit using (module, country_code, party_id, object_id)
order by asked.number, evse_uid <> '', unit_id

-- name: read_units
-- Units by key.
select unit.module, unit.country_code, unit.party_id, unit.object_id, unit.evse_uid, raw, last_updated, clock, is_incomplete,
       log_epoch, log_partition, log_offset, evses_offset, platform_id::text, tail, query
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as asked (module, country_code, party_id, object_id, evse_uid)
join unit using (module, country_code, party_id, object_id, evse_uid)
