-- name: standings
-- Every receiver of which something is known, with times as seconds from now.
select platform_id::text, country_code, party_id, is_paused, opened_at is not null as is_open, catch_up, touches, rate,
       extract(epoch from next_try_at - clock_timestamp())::float8 as next_try_in,
       extract(epoch from asked_until - clock_timestamp())::float8 as asked_for
from receiver

-- name: open_breaker
-- The receiver is in trouble: nothing is sent but one trial, the next after a pause that doubles up to half a minute.
insert into receiver (platform_id, country_code, party_id, opened_at, next_try_at, failures, reason)
values ($1, $2, $3, clock_timestamp(), clock_timestamp() + interval '1 second', 1, $4)
on conflict (platform_id, country_code, party_id) do update
set opened_at = coalesce(receiver.opened_at, clock_timestamp()), reason = excluded.reason, updated_at = clock_timestamp(),
    failures = receiver.failures + 1,
    next_try_at = clock_timestamp() + least(interval '1 second' * power(2, least(receiver.failures, 5)), interval '30 seconds')

-- name: close_breaker
-- The receiver takes what it is sent again.
update receiver
set opened_at = null, next_try_at = null, asked_until = null, failures = 0, reason = '', updated_at = clock_timestamp()
where platform_id = $1 and country_code = $2 and party_id = $3 and opened_at is not null

-- name: close_offline
-- Presence has found these platforms offline: it says when they are back, no trial need do that.
update receiver
set opened_at = null, next_try_at = null, failures = 0, reason = '', updated_at = clock_timestamp()
from platform
where receiver.platform_id = platform.platform_id and not platform.is_online and receiver.opened_at is not null

-- name: claim_trial
-- The next trial is ours, if it is due: nobody else tries for as long as an answer may take ($4 seconds).
update receiver set next_try_at = clock_timestamp() + interval '1 second' * $4::float8
where platform_id = $1 and country_code = $2 and party_id = $3 and opened_at is not null and next_try_at <= clock_timestamp()
returning 1

-- name: ask
-- The receiver asked to be left alone for some seconds ($4) (D-21).
insert into receiver (platform_id, country_code, party_id, asked_until)
values ($1, $2, $3, clock_timestamp() + interval '1 second' * $4::float8)
on conflict (platform_id, country_code, party_id) do update
set asked_until = greatest(receiver.asked_until, excluded.asked_until), updated_at = clock_timestamp()

-- name: refuse
-- Receivers that there are refused units; the latest reason stands.
insert into refusal (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid,
                     log_partition, method, http_status, ocpi_status, detail, correlation_id)
select distinct on (1, 2, 3, 4, 5, 6, 7, 8) said.*
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::integer[],
            $10::text[], $11::integer[], $12::integer[], $13::text[], $14::text[])
    as said (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid,
             log_partition, method, http_status, ocpi_status, detail, correlation_id)
join platform using (platform_id)
order by 1, 2, 3, 4, 5, 6, 7, 8
on conflict (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid)
do update set log_partition = excluded.log_partition, method = excluded.method, http_status = excluded.http_status,
    ocpi_status = excluded.ocpi_status, detail = excluded.detail, correlation_id = excluded.correlation_id,
    count = refusal.count + 1, refused_at = clock_timestamp()

-- name: refused
-- What receivers refused of the units in these partitions ($1).
select platform_id::text, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid
from refusal where log_partition = any($1::integer[])

-- name: accept
-- Receivers took units that they had refused before.
delete from refusal
using unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    as taken (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid)
where refusal.platform_id = taken.platform_id and refusal.country_code = taken.country_code
      and refusal.party_id = taken.party_id and refusal.module = taken.module
      and refusal.owner_country_code = taken.owner_country_code and refusal.owner_party_id = taken.owner_party_id
      and refusal.object_id = taken.object_id and refusal.evse_uid = taken.evse_uid

-- name: report_load
-- What waits in this process' ($1) lanes now, by receiver; oldest is Unix milliseconds.
insert into receiver_load (process_id, platform_id, country_code, party_id, in_flight, waiting, waiting_bytes, oldest_at)
select $1, platform_id, country_code, party_id, in_flight, waiting, waiting_bytes, to_timestamp(oldest / 1000.0)
from unnest($2::uuid[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::bigint[], $8::bigint[])
    as now (platform_id, country_code, party_id, in_flight, waiting, waiting_bytes, oldest)
on conflict (process_id, platform_id, country_code, party_id) do update
set in_flight = excluded.in_flight, waiting = excluded.waiting, waiting_bytes = excluded.waiting_bytes,
    oldest_at = excluded.oldest_at, updated_at = now()

-- name: forget_load
-- What this process ($1) no longer reports ($2: older than so many seconds), and all of processes that are gone.
delete from receiver_load
where (process_id = $1 and updated_at < now() - interval '1 second' * $2::float8) or updated_at < now() - interval '1 minute'
