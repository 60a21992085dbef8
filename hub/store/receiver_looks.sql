-- name: rows
-- What is known of every receiver beside the directory: settings, breaker, and how much is marked and refused.
select keys.platform_id::text, keys.country_code, keys.party_id,
       coalesce(r.is_paused, false) as is_paused, coalesce(r.catch_up, 'push') as catch_up,
       coalesce(r.touches, 'send') as touches, r.rate, r.opened_at, r.next_try_at, r.asked_until,
       coalesce(r.failures, 0) as failures, coalesce(r.reason, '') as reason,
       coalesce(m.marks, 0) as marks, m.oldest_mark, coalesce(f.refusals, 0) as refusals,
       coalesce(l.in_flight, 0) as in_flight, coalesce(l.waiting, 0) as waiting, l.oldest_waiting
from (select platform_id, country_code, party_id from unnest($1::uuid[], $2::text[], $3::text[])
          as asked (platform_id, country_code, party_id)) keys
left join receiver r using (platform_id, country_code, party_id)
left join (select platform_id, country_code, party_id, count(*) as marks, min(since) as oldest_mark
           from dirty_mark group by 1, 2, 3) m using (platform_id, country_code, party_id)
left join (select platform_id, country_code, party_id, count(*) as refusals
           from refusal group by 1, 2, 3) f using (platform_id, country_code, party_id)
left join (select platform_id, country_code, party_id, sum(in_flight) as in_flight, sum(waiting) as waiting,
                  min(oldest_at) as oldest_waiting
           from receiver_load where updated_at > now() - interval '10 seconds' group by 1, 2, 3) l
     using (platform_id, country_code, party_id)
order by keys.country_code, keys.party_id, keys.platform_id

-- name: marks_by_module
-- How many units of each module a receiver ($1 to $3) still has to get.
select module, count(*) as marks from dirty_mark
where platform_id = $1 and country_code = $2 and party_id = $3 group by module order by module

-- name: refusals
-- The latest refusals of a receiver ($1 to $3), $4 at most.
select module, owner_country_code, owner_party_id, object_id, evse_uid, method, http_status, ocpi_status, detail,
       correlation_id, count, refused_at
from refusal where platform_id = $1 and country_code = $2 and party_id = $3 order by refused_at desc limit $4

-- name: set
-- Change what is set for a receiver ($1 to $3); null leaves it: $4 paused, $5 catch_up, $6 touches, $7 rate (0: none).
insert into receiver (platform_id, country_code, party_id, is_paused, catch_up, touches, rate)
values ($1, $2, $3, coalesce($4, false), coalesce($5, 'push'), coalesce($6, 'send'), nullif($7::float8, 0))
on conflict (platform_id, country_code, party_id) do update
set is_paused = coalesce($4, receiver.is_paused), catch_up = coalesce($5, receiver.catch_up),
    touches = coalesce($6, receiver.touches), rate = nullif(coalesce($7::float8, receiver.rate), 0), updated_at = now()
