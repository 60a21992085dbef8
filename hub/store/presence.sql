-- name: note
-- What functional calls have come to: for each platform ($1) how many seconds ago one was answered ($2) and one failed ($3).
insert into platform_evidence (platform_id, answered_at, failed_at)
select platform_id, clock_timestamp() - make_interval(secs => answered_ago), clock_timestamp() - make_interval(secs => failed_ago)
from unnest($1::uuid[], $2::float8[], $3::float8[]) as seen (platform_id, answered_ago, failed_ago)
join platform using (platform_id)
order by platform_id
on conflict (platform_id) do update
set answered_at = greatest(platform_evidence.answered_at, excluded.answered_at),
    failed_at = greatest(platform_evidence.failed_at, excluded.failed_at)

-- name: notify
-- Tell the presence workers that something has turned.
select pg_notify('presence', '')

-- name: add_missing
-- Every registered platform has a row.
insert into platform_evidence (platform_id)
select platform_id from platform
where status = 'connected' and not exists (select from platform_evidence e where e.platform_id = platform.platform_id)
on conflict do nothing

-- name: presences
-- What is known of every registered platform, and the time.
select platform_id::text, is_online, answered_at, failed_at, looked_at, changed_at, streak, good_looks,
       leased_until > clock_timestamp() as is_leased, clock_timestamp() as now
from platform join platform_evidence using (platform_id)
where status = 'connected'

-- name: lease
-- Take the platforms ($1) at which nobody has looked since ($2) and nobody looks now, for $4 seconds under the name $3.
with free as (
    select platform_id
    from unnest($1::uuid[], $2::timestamptz[]) as due (platform_id, looked_at)
    join platform_evidence e using (platform_id)
    where e.looked_at is not distinct from due.looked_at and e.leased_until <= clock_timestamp()
    order by platform_id
    for update of e skip locked
)
update platform_evidence e set lease = $3, leased_until = clock_timestamp() + make_interval(secs => $4)
from free where e.platform_id = free.platform_id
returning e.platform_id::text

-- name: renew
-- Hold platforms ($1) for $3 seconds from now, as far as they are held under these names ($2).
with held as (
    select platform_id from unnest($1::uuid[], $2::text[]) as ours (platform_id, lease)
    join platform_evidence t using (platform_id, lease)
    where t.leased_until > '-infinity'
    order by platform_id
    for update of t
)
update platform_evidence t set leased_until = clock_timestamp() + make_interval(secs => $3)
from held where t.platform_id = held.platform_id

-- name: leased
-- What is known of a platform ($1) that is held under a name ($2), locked, and the time.
select is_online, answered_at, failed_at, looked_at, changed_at, streak, good_looks, clock_timestamp() as now
from platform_evidence e join platform using (platform_id)
where e.platform_id = $1 and lease = $2 and status = 'connected'
for update of e

-- name: looked
-- What a look at a platform ($1) led to; it may be looked at again by anyone.
update platform_evidence
set looked_at = $2, changed_at = $3, streak = $4, good_looks = $5, leased_until = '-infinity'
where platform_id = $1

-- name: set_online
-- Whether a platform can be reached.
update platform set is_online = $2, updated_at = now() where platform_id = $1
