-- name: dispose
-- Note what an operator does with a letter; nothing comes back when something was done with it before.
insert into dead_letter_disposition (log_epoch, log_partition, log_offset, source, action, operator)
values ($1, $2, $3, $4, $5, $6)
on conflict (log_epoch, log_partition, log_offset) do nothing
returning count

-- name: dispose_again
-- Note it also where something was done before: the latest counts.
insert into dead_letter_disposition (log_epoch, log_partition, log_offset, source, action, operator)
values ($1, $2, $3, $4, $5, $6)
on conflict (log_epoch, log_partition, log_offset)
do update set action = excluded.action, operator = excluded.operator, at = now(), count = dead_letter_disposition.count + 1
returning count

-- name: of_place
-- What was done with one letter.
select log_partition, log_offset, source, action, operator, count, at
from dead_letter_disposition where log_epoch = $1 and log_partition = $2 and log_offset = $3

-- name: of_source
-- What was done with a letter that holds the same record, put back rather than discarded if both.
select log_partition, log_offset, source, action, operator, count, at
from dead_letter_disposition where log_epoch = $1 and source = $2
order by action desc, at limit 1

-- name: in_spans
-- What was done with the letters from $3 up to $4, by partition ($2).
select log_partition, log_offset, source, action, operator, count, at
from dead_letter_disposition
join unnest($2::integer[], $3::bigint[], $4::bigint[]) as span (log_partition, first_offset, end_offset) using (log_partition)
where log_epoch = $1 and log_offset >= first_offset and log_offset < end_offset

-- name: count
-- How many of the letters from $3 up to $4, by partition ($2), something was done with.
select count(*)
from dead_letter_disposition
join unnest($2::integer[], $3::bigint[], $4::bigint[]) as span (log_partition, first_offset, end_offset) using (log_partition)
where log_epoch = $1 and log_offset >= first_offset and log_offset < end_offset
