-- name: add_outcomes
-- Write outcomes that are not there yet and count exactly these by minute; returns how many were new.
with added as (
    insert into exchange (
        at, outcome_id, correlation_id, request_id, leg, kind, verdict, platform_id, from_party, to_party,
        ocpi_version, module, interface, method, object, http_status, ocpi_status, detail, elapsed_ms,
        trace_id
    )
    select * from unnest(
        $1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::text[],
        $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::integer[], $17::integer[],
        $18::text[], $19::double precision[], $20::text[]
    )
    on conflict do nothing
    returning at, from_party, to_party, module, kind, verdict
),
counted as (
    insert into exchange_rollup as held (minute, from_party, to_party, module, kind, verdict, count)
    select
        date_trunc('minute', at, 'UTC') as minute,
        upper(coalesce(from_party, '')) as sender,
        upper(coalesce(to_party, '')) as receiver,
        coalesce(module, '') as module_name,
        kind,
        coalesce(verdict, '') as verdict_name,
        count(*)
    from added
    group by 1, 2, 3, 4, 5, 6
    order by 1, 2, 3, 4, 5, 6
    on conflict (minute, from_party, to_party, module, kind, verdict) do update set count = held.count + excluded.count
)
select count(*) from added

-- name: story
-- Everything told about one message, in order; within one millisecond it begins with accepted and ends with answered.
select exchange.*, platform.name as platform_name
from exchange left join platform using (platform_id)
where correlation_id = $1
order by at, case verdict when 'accepted' then 0 when 'answered' then 2 else 1 end, outcome_id
limit $2

-- name: add_day
-- Make the partition of one UTC day unless it is there.
select add_exchange_day($1)

-- name: drop_days
-- Drop what is older than the first UTC day to keep; returns how many days went.
select drop_exchange_days($1)

-- name: limit_lock_wait
-- In this transaction rather give up than keep writers waiting behind us.
set local lock_timeout = '3s'
