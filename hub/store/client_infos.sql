-- name: add_viewers
-- Viewers that were not there yet.
insert into client_info_viewer (viewer_id)
select platform_id from platform where platform_id = any($1::uuid[]) and status = 'connected'
on conflict do nothing

-- name: lease
-- Take up to $5 of these viewers ($1) that may not know all of a directory version ($2), for $4 seconds under the name $3.
with free as (
    select viewer_id from client_info_viewer
    where viewer_id = any($1::uuid[]) and (told_version is null or told_version < $2)
          and next_try_at <= clock_timestamp() and leased_until <= clock_timestamp()
    order by told_version nulls first, viewer_id
    limit $5
    for update skip locked
)
update client_info_viewer v set lease = $3, leased_until = clock_timestamp() + make_interval(secs => $4)
from free where v.viewer_id = free.viewer_id
returning v.viewer_id::text

-- name: renew
-- Hold viewers ($1) for $3 seconds from now, as far as they are held under these names ($2).
with held as (
    select viewer_id from unnest($1::uuid[], $2::text[]) as ours (viewer_id, lease)
    join client_info_viewer t using (viewer_id, lease)
    where t.leased_until > '-infinity'
    order by viewer_id
    for update of t
)
update client_info_viewer t set leased_until = clock_timestamp() + make_interval(secs => $3)
from held where t.viewer_id = held.viewer_id

-- name: told
-- What a viewer was told last.
select country_code, party_id, role, status, last_updated from client_info_told where viewer_id = $1

-- name: note_told
-- A viewer ($1) held under a name ($2) was told this; it is held for $3 more seconds. Nothing when it was lost meanwhile.
with held as (
    update client_info_viewer set leased_until = clock_timestamp() + make_interval(secs => $3)
    where viewer_id = $1 and lease = $2
    returning viewer_id
)
insert into client_info_told (viewer_id, country_code, party_id, role, status, last_updated)
select viewer_id, $4, $5, $6, $7, $8 from held
on conflict (viewer_id, country_code, party_id, role)
do update set status = excluded.status, last_updated = excluded.last_updated, told_at = now()
returning 1

-- name: finish
-- A viewer ($1) held under a name ($2) knows all of a directory version ($3).
update client_info_viewer
set told_version = $3, failures = 0, next_try_at = '-infinity', leased_until = '-infinity'
where viewer_id = $1 and lease = $2

-- name: give_back
-- A viewer ($1) held under a name ($2) was not told all.
update client_info_viewer set leased_until = '-infinity' where viewer_id = $1 and lease = $2

-- name: put_off
-- A viewer ($1) held under a name ($2) is in trouble: not again before a pause that doubles up to a minute.
update client_info_viewer
set failures = failures + 1, leased_until = '-infinity',
    next_try_at = clock_timestamp() + least(interval '1 second' * power(2, least(failures, 6)), interval '1 minute')
where viewer_id = $1 and lease = $2

-- name: try_now
-- A viewer came back.
update client_info_viewer set failures = 0, next_try_at = '-infinity' where viewer_id = $1

-- name: still_to_tell
-- Which of these parties ($2, $3) a viewer ($1) was not told of yet; none where it does not want that or does not take it.
select country_code, party_id
from unnest($2::text[], $3::text[]) as owner (country_code, party_id)
where exists (
    select from platform join endpoint using (platform_id) left join client_info_viewer on viewer_id = platform_id
    where platform_id = $1 and status = 'connected' and module = 'hubclientinfo' and interface = 'RECEIVER'
          and coalesce(failures, 0) = 0
) and not exists (
    select from client_info_told told
    where viewer_id = $1 and told.country_code = owner.country_code and told.party_id = owner.party_id
)

-- name: now
-- The time.
select clock_timestamp()
