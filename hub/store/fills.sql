-- name: fills
-- What every receiver was filled with.
select platform_id::text, country_code, party_id, module, owners from receiver_fill

-- name: lock
-- Let nobody else fill this receiver ($1 to $3) and module ($4) until the transaction ends; says whether that was free.
select pg_try_advisory_xact_lock(hashtextextended(concat_ws('/', 'fill', $1::text, $2::text, $3::text, $4::text), 0))

-- name: current
-- The directory's version as it is now.
select version from directory_version

-- name: owners
-- The owners with which a receiver ($1 to $3) was filled in a module ($4).
select owners from receiver_fill where platform_id = $1 and country_code = $2 and party_id = $3 and module = $4

-- name: catch_up
-- Whether a receiver ($1 to $3) is sent what it missed (D-13); it stays so until the transaction ends.
select catch_up from receiver where platform_id = $1 and country_code = $2 and party_id = $3 for no key update

-- name: note
-- A receiver ($1 to $3) is filled in a module ($4) with these owners ($5), under a version of the directory ($6).
insert into receiver_fill (platform_id, country_code, party_id, module, owners, directory_version)
values ($1, $2, $3, $4, $5, $6)
on conflict (platform_id, country_code, party_id, module) do update
set owners = excluded.owners, directory_version = excluded.directory_version, filled_at = now()

-- name: forget
-- A receiver ($1 to $3) gets nothing of a module ($4) any more.
delete from receiver_fill where platform_id = $1 and country_code = $2 and party_id = $3 and module = $4

-- name: renew
-- A receiver ($1 to $3) is filled anew with all that it gets.
delete from receiver_fill where platform_id = $1 and country_code = $2 and party_id = $3

-- name: drop_marks
-- What a receiver ($1 to $3) missed in a module ($4) of these owners ($5, $6).
delete from dirty_mark
where platform_id = $1 and country_code = $2 and party_id = $3 and module = $4
      and (owner_country_code, owner_party_id) in (select * from unnest($5::text[], $6::text[]))

-- name: drop_refusals
-- What a receiver ($1 to $3) refused in a module ($4) of these owners ($5, $6).
delete from refusal
where platform_id = $1 and country_code = $2 and party_id = $3 and module = $4
      and (owner_country_code, owner_party_id) in (select * from unnest($5::text[], $6::text[]))
