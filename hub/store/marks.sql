-- name: mark
-- Mark units for receivers that there are; a unit that is marked already keeps its place and gets a new marking.
insert into dirty_mark (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid,
                        log_partition)
select distinct on (1, 2, 3, 4, 5, 6, 7, 8) missed.*
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::integer[])
    as missed (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid, log_partition)
join platform using (platform_id)
order by 1, 2, 3, 4, 5, 6, 7, 8
on conflict (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid)
do update set marking = nextval('marking'), marked_at = clock_timestamp(), log_partition = excluded.log_partition,
    not_before = '-infinity'

-- name: fill
-- Mark every whole object of a module ($4) of these owners ($5, $6) for one receiver ($1 to $3); says how many.
insert into dirty_mark (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, log_partition)
select $1, $2, $3, module, country_code, party_id, object_id, log_partition
from unit
where module = $4 and evse_uid = '' and raw is not null
      and (country_code, party_id) in (select * from unnest($5::text[], $6::text[]))
order by module, country_code, party_id, object_id
on conflict (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid)
do update set marking = nextval('marking'), marked_at = clock_timestamp(), not_before = '-infinity'

-- name: next
-- The oldest marks of one receiver ($1 to $3) in one partition ($4) behind a place ($5, $6) that may be sent now; $7 at most.
select module, owner_country_code, owner_party_id, object_id, evse_uid, since, marking
from dirty_mark
where platform_id = $1 and country_code = $2 and party_id = $3 and log_partition = $4
      and (since, marking) > ($5::timestamptz, $6::bigint) and not_before <= clock_timestamp()
order by since, marking
limit $7

-- name: of_trees
-- The marks of receivers ($1 to $3) on objects ($4 to $7) and their parts; whether one has a copy of the object of its own (D-04).
select asked.number, dirty_mark.evse_uid, dirty_mark.marking, exists (
    select from directed_note
    where (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id)
          = (asked.platform_id, asked.country_code, asked.party_id, asked.module, asked.owner_country_code,
             asked.owner_party_id, asked.object_id)
) as is_directed
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) with ordinality
    as asked (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, number)
join dirty_mark using (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id)

-- name: waiting
-- Which of these receivers ($1 to $3) have marks in these partitions ($4) that may be sent now.
select platform_id::text, country_code, party_id
from unnest($1::uuid[], $2::text[], $3::text[]) as asked (platform_id, country_code, party_id)
where exists (
    select from unnest($4::integer[]) as mine (log_partition) join dirty_mark using (log_partition)
    where dirty_mark.platform_id = asked.platform_id and dirty_mark.country_code = asked.country_code
          and dirty_mark.party_id = asked.party_id and dirty_mark.not_before <= clock_timestamp()
)

-- name: clear
-- Take away the marks that a send has seen, each unless it was made anew since.
delete from dirty_mark
using unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[])
    as seen (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid, marking)
where dirty_mark.platform_id = seen.platform_id and dirty_mark.country_code = seen.country_code
      and dirty_mark.party_id = seen.party_id and dirty_mark.module = seen.module
      and dirty_mark.owner_country_code = seen.owner_country_code and dirty_mark.owner_party_id = seen.owner_party_id
      and dirty_mark.object_id = seen.object_id and dirty_mark.evse_uid = seen.evse_uid and dirty_mark.marking = seen.marking

-- name: put_off
-- A receiver failed on this unit alone: not again before a pause that doubles up to five minutes.
update dirty_mark
set tries = tries + 1, not_before = clock_timestamp() + least(interval '1 second' * power(2, least(tries, 9)), interval '5 minutes')
where platform_id = $1 and country_code = $2 and party_id = $3
      and module = $4 and owner_country_code = $5 and owner_party_id = $6 and object_id = $7 and evse_uid = $8

-- name: clear_before
-- A receiver has fetched all of a module ($4) itself: its marks that were made before that began ($5) are done (D-13).
delete from dirty_mark
where platform_id = $1 and country_code = $2 and party_id = $3 and module = $4 and marked_at < $5
