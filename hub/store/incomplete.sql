-- name: take
-- Objects of which only patches are known and whose owner's platform can be asked: $1 at most, $3 of one platform less those in
-- $4, nobody else's for $2 seconds.
with due as (
    select distinct on (module, country_code, party_id, object_id)
           module, country_code, party_id, object_id, platform_id, tail, query, unit.log_epoch, unit.log_offset
    from unit join platform using (platform_id)
    left join incomplete held using (module, country_code, party_id, object_id)
    where is_incomplete and status = 'connected' and is_online
          and (held.object_id is null or held.next_try_at <= clock_timestamp()
               and (not held.is_given_up or (held.log_epoch, held.log_offset) is distinct from (unit.log_epoch, unit.log_offset)))
    order by module, country_code, party_id, object_id, unit.log_offset desc
), shared as (
    select *, row_number() over (partition by platform_id order by module, country_code, party_id, object_id) as place
    from due
), chosen as (
    select * from shared
    where place <= $3 - (select count(*) from unnest($4::uuid[]) as asked (platform_id) where asked.platform_id = shared.platform_id)
    order by place
    limit $1
), taken as (
    insert into incomplete as held (module, country_code, party_id, object_id, log_epoch, log_offset, next_try_at)
    select module, country_code, party_id, object_id, log_epoch, log_offset, clock_timestamp() + make_interval(secs => $2)
    from chosen
    order by module, country_code, party_id, object_id
    on conflict (module, country_code, party_id, object_id) do update
    set tries = case when held.is_given_up then 1 else held.tries + 1 end, is_given_up = false,
        wrong_answers = case when held.is_given_up then 0 else held.wrong_answers end,
        log_epoch = excluded.log_epoch, log_offset = excluded.log_offset, next_try_at = excluded.next_try_at
    where held.next_try_at <= clock_timestamp()
          and (not held.is_given_up
               or (held.log_epoch, held.log_offset) is distinct from (excluded.log_epoch, excluded.log_offset))
    returning held.module, held.country_code, held.party_id, held.object_id, held.tries, held.wrong_answers
)
select module, country_code, party_id, object_id, platform_id::text, tail, query, tries, wrong_answers, known.log_epoch,
       known.log_offset
from chosen join taken using (module, country_code, party_id, object_id)
cross join lateral (
    select unit.log_epoch, max(unit.log_offset) as log_offset
    from unit
    where unit.module = chosen.module and unit.country_code = chosen.country_code and unit.party_id = chosen.party_id
          and unit.object_id = chosen.object_id
    group by unit.log_epoch
    order by max(unit.changed_at) desc, max(unit.log_offset) desc
    limit 1
) known

-- name: put_off
-- An object ($1 to $4) was not had ($7 says why; $8: a wrong answer): not again before $5 seconds, or before a later patch if given up ($6).
update incomplete
set next_try_at = clock_timestamp() + make_interval(secs => $5), is_given_up = $6, detail = $7,
    wrong_answers = wrong_answers + $8::boolean::integer
where module = $1 and country_code = $2 and party_id = $3 and object_id = $4

-- name: tidy
-- Forget the attempts at objects that are whole by now, or gone.
delete from incomplete
where not exists (
    select from unit
    where unit.is_incomplete and unit.module = incomplete.module and unit.country_code = incomplete.country_code
          and unit.party_id = incomplete.party_id and unit.object_id = incomplete.object_id
)

-- name: show
-- Objects of which only patches are known, the longest waiting first: of one owner ($1, $2) or of all, $3 at most.
select module, country_code || '/' || unit.party_id as party, object_id, max(unit.platform_id::text) as platform_id, max(platform.name) as platform_name,
       count(*) as units, coalesce(held.since, min(unit.changed_at)) as since, coalesce(held.tries, 0) as tries,
       case when not held.is_given_up then held.next_try_at end as next_try_at,
       coalesce(held.is_given_up, false) as is_given_up, coalesce(held.detail, '') as detail
from unit
left join platform using (platform_id)
left join incomplete held using (module, country_code, party_id, object_id)
where is_incomplete and ($1::text is null or (country_code, party_id) = ($1::text, $2::text))
group by module, country_code, unit.party_id, object_id, held.since, held.tries, held.next_try_at,
         held.is_given_up, held.detail
order by since, module, country_code, party, object_id
limit $3
