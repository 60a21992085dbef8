-- name: note
-- A receiver has objects from pushes to it alone since so many seconds ago ($8).
insert into directed_note (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, noted_at)
select platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id,
       clock_timestamp() - make_interval(secs => min(age))
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::double precision[])
     as given (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, age)
group by 1, 2, 3, 4, 5, 6, 7
order by 1, 2, 3, 4, 5, 6, 7
on conflict (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id) do update
set noted_at = greatest(directed_note.noted_at, excluded.noted_at)

-- name: who_has_any
-- Which of these receivers ($1 to $3) have notes.
select platform_id::text, country_code, party_id
from unnest($1::uuid[], $2::text[], $3::text[]) as asked (platform_id, country_code, party_id)
where exists (
    select from directed_note held
    where held.platform_id = asked.platform_id and held.country_code = asked.country_code and held.party_id = asked.party_id
)

-- name: forget
-- Receivers were sent objects that began so many seconds ago ($8): what was noted before that is over. Locked in the order in which
-- notes are made, so that neither waits for the other.
with over as (
    select held.platform_id, held.country_code, held.party_id, held.module, held.owner_country_code, held.owner_party_id,
           held.object_id
    from directed_note held
    join unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::double precision[])
        as sent (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, age)
        using (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id)
    where held.noted_at < clock_timestamp() - make_interval(secs => sent.age)
    order by 1, 2, 3, 4, 5, 6, 7
    for update of held
)
delete from directed_note
using over
where directed_note.platform_id = over.platform_id and directed_note.country_code = over.country_code
      and directed_note.party_id = over.party_id and directed_note.module = over.module
      and directed_note.owner_country_code = over.owner_country_code and directed_note.owner_party_id = over.owner_party_id
      and directed_note.object_id = over.object_id

-- name: spread_mark
-- What a receiver ($1 to $3) is still to get of an object ($4 to $7) that it has from a push to it alone, marked as $8: not the
-- object itself, but each of its parts.
with gone as (
    delete from dirty_mark
    where platform_id = $1 and country_code = $2 and party_id = $3 and module = $4 and owner_country_code = $5
          and owner_party_id = $6 and object_id = $7 and evse_uid = '' and marking = $8
    returning log_partition
)
insert into dirty_mark (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid,
                        log_partition)
select $1, $2, $3, module, country_code, party_id, object_id, evse_uid, gone.log_partition
from unit cross join gone
where module = $4 and country_code = $5 and party_id = $6 and object_id = $7 and evse_uid <> '' and raw is not null
order by evse_uid
on conflict (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid)
do update set marking = nextval('marking'), marked_at = clock_timestamp(), not_before = '-infinity'
