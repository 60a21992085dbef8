-- Who is connected, where messages go, what is known of every object, and what became of every message.

-- A platform: one OCPI connection. name is the operator's word for it until its first credentials arrive. stale: what becomes of
-- its pushes that are older than what is held (D-11). quirks: its habits that the hub serves (D-02, D-14, D-15).
create table platform (
    platform_id uuid primary key,
    name text not null,
    status text not null check (status in ('invited', 'connected', 'unregistered', 'suspended')),
    ocpi_version text,
    versions_url text,
    is_online boolean not null default true,
    stale text not null default 'refuse' check (stale in ('refuse', 'accept')),
    quirks text[] not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- A party in one role. is_invited: bound to the invitation; a role that only the handshake named is quarantined (D-09).
-- is_listed: in the platform's latest credentials (or invited and not yet registered). visible_since: when it was listed first, listed
-- anew or let out of quarantine; what its party holds became visible to others then, and what others hold to it (D-26).
create table party (
    platform_id uuid not null references platform on delete cascade,
    country_code text not null,
    party_id text not null,
    role text not null,
    business_details text,
    is_invited boolean not null default false,
    is_quarantined boolean not null default false,
    is_listed boolean not null default true,
    visible_since timestamptz,
    last_updated timestamptz not null default now(),
    primary key (platform_id, country_code, party_id, role)
);
-- One (party, role) belongs to one platform (AM-19). Ids are stored in upper case.
create unique index party_claim on party (country_code, party_id, role) where not is_quarantined;

-- What a platform published in its version details. interface is SENDER or RECEIVER.
create table endpoint (
    platform_id uuid not null references platform on delete cascade,
    module text not null,
    interface text not null,
    url text not null,
    primary key (platform_id, module, interface)
);

-- Tokens that a platform shows to us, as keyed hash only. kind: registration (token A) or access.
-- is_replaced: a newer one was given; it opens the door until expires_at or until the newer one is used (AM-21).
create table inbound_token (
    token_hash bytea primary key,
    platform_id uuid not null references platform on delete cascade,
    kind text not null check (kind in ('registration', 'access')),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    is_replaced boolean not null default false
);
create index inbound_token_platform on inbound_token (platform_id);

-- The token that we show to a platform: AES-256-GCM, the key named by key_id. encoding: base64 or raw (D-14).
-- renewal_tried_at: when the hub last tried to renew it because of its age.
create table outbound_token (
    platform_id uuid primary key references platform on delete cascade,
    sealed bytea not null,
    key_id text not null,
    encoding text not null default 'base64' check (encoding in ('base64', 'raw')),
    created_at timestamptz not null default now(),
    renewal_tried_at timestamptz not null default '-infinity'
);

-- The version of everything above: raised in the transaction that changes it, announced by NOTIFY directory.
create table directory_version (
    is_only boolean primary key default true check (is_only),
    version bigint not null
);
insert into directory_version (version) values (1);

-- Which directory version each process holds, for as long as its lease runs.
create table directory_holder (
    process_id text primary key,
    name text not null,
    version bigint not null,
    expires_at timestamptz not null
);

-- What calls to a platform have come to, and what the hub concludes. answered_at and failed_at: the latest functional call of each
-- kind; looked_at: the latest still-alive check; streak: checks in a row that contradict platform.is_online; good_looks: how many of
-- them bring it back. leased_until: one process looks at it, until then.
create table platform_evidence (
    platform_id uuid primary key references platform on delete cascade,
    answered_at timestamptz,
    failed_at timestamptz,
    looked_at timestamptz,
    changed_at timestamptz,
    streak integer not null default 0,
    good_looks integer not null default 2,
    lease text not null default '',
    leased_until timestamptz not null default '-infinity'
);

-- A platform that is told of others by hubclientinfo. told_version: it knows all that was true under that directory version; null
-- since it connected: not all yet. next_try_at: after a failure, not earlier than this. leased_until: one process tells it.
create table client_info_viewer (
    viewer_id uuid primary key references platform on delete cascade,
    told_version bigint,
    next_try_at timestamptz not null default '-infinity',
    failures integer not null default 0,
    lease text not null default '',
    leased_until timestamptz not null default '-infinity'
);

-- What each viewer was told last, one row for each role of a party.
create table client_info_told (
    viewer_id uuid not null references client_info_viewer on delete cascade,
    country_code text not null,
    party_id text not null,
    role text not null,
    status text not null,
    last_updated timestamptz not null,
    told_at timestamptz not null default now(),
    primary key (viewer_id, country_code, party_id, role)
);

-- Where a message goes that names no receiver. kind: token, location, session, reservation, profile.
-- key is folded; owner is the data's owner, counterpart the other side where there is one ('' otherwise).
create table route (
    kind text not null,
    key text not null,
    owner_country_code text not null,
    owner_party_id text not null,
    counterpart_country_code text not null default '',
    counterpart_party_id text not null default '',
    updated_at timestamptz not null default now(),
    expires_at timestamptz,
    primary key (kind, key, owner_country_code, owner_party_id)
);

-- URLs that the hub made: response_urls, CDR locations, pages. bound_platform_id: who may use it (CB-06, PG-10).
create table issued_url (
    url_id text primary key,
    kind text not null check (kind in ('command', 'profile', 'cdr', 'page')),
    bound_platform_id uuid not null references platform on delete cascade,
    bound_country_code text not null,
    bound_party_id text not null,
    target_platform_id uuid not null references platform on delete cascade,
    target_country_code text not null,
    target_party_id text not null,
    target_url text not null,
    correlation_id text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz
);
create index issued_url_expiry on issued_url (expires_at) where expires_at is not null;

-- What changes on its own: a Location without its EVSEs, an EVSE with its Connectors, a Tariff, a Token.
-- Key columns are folded; a Token's object_id is uid:type; evse_uid is '' for a root. raw is the JSON as pushed; null is a tombstone.
-- last_updated is the unit's own clock as pushed, clock the earlier of that and the arrival: what a later push is compared with.
-- (log_epoch, log_offset) is the last record applied; evses_offset, on a Location, the last record that replaced all its EVSEs.
-- log_partition is where its records are; tail and query are those of its URL below a receiver's endpoint, as its owner wrote
-- them last. unit_id gives the order of creation, for paging.
create table unit (
    unit_id bigint generated always as identity unique,
    module text not null,
    country_code text not null,
    party_id text not null,
    object_id text not null,
    evse_uid text not null default '',
    raw text,
    last_updated timestamptz not null,
    clock timestamptz not null,
    is_incomplete boolean not null default false,
    log_epoch text not null,
    log_partition integer not null,
    log_offset bigint not null,
    evses_offset bigint not null default -1,
    platform_id uuid not null,
    tail text not null,
    query text not null,
    changed_at timestamptz not null default now(),
    primary key (module, country_code, party_id, object_id, evse_uid)
);
create index unit_order on unit (module, unit_id) where evse_uid = '';
create index unit_incomplete on unit (module, country_code, party_id, object_id) where is_incomplete;

-- An object that is fetched because only patches of it are known (D-12). (log_epoch, log_offset) is the patch it is fetched for:
-- once given up it is tried again for a later one only. next_try_at also is the lease of whoever tries now.
create table incomplete (
    module text not null,
    country_code text not null,
    party_id text not null,
    object_id text not null,
    log_epoch text not null,
    log_offset bigint not null,
    since timestamptz not null default now(),
    tries integer not null default 1,
    wrong_answers integer not null default 0,
    next_try_at timestamptz not null,
    is_given_up boolean not null default false,
    detail text not null default '',
    primary key (module, country_code, party_id, object_id)
);

-- What lists show: the roots whose content is held, each with the newest clock in its tree (OB-05). Narrow, so that counting and
-- paging by date need not read the units; kept by the triggers below, whichever statement writes units.
create table listed (
    unit_id bigint primary key,
    module text not null,
    country_code text not null,
    party_id text not null,
    object_id text not null,
    newest timestamptz not null
) with (fillfactor = 70);
create index listed_order on listed (module, unit_id);

-- List the trees of the units that a statement changed.
create function list_units() returns trigger language plpgsql as $$
begin
    with root as materialized (
        select distinct module, country_code, party_id, object_id from changed
    ), tree as materialized (
        select root.*, held.unit_id, greatest(held.last_updated, parts.newest) as newest, held.raw is not null as is_shown
        from root join unit held using (module, country_code, party_id, object_id)
        cross join lateral (
            select max(evse.last_updated) as newest from unit evse
            where evse.module = root.module and evse.country_code = root.country_code and evse.party_id = root.party_id
                and evse.object_id = root.object_id and evse.evse_uid <> '' and evse.raw is not null
        ) parts
        where held.evse_uid = ''
    ), hidden as (
        delete from listed using tree where listed.unit_id = tree.unit_id and not tree.is_shown
    )
    insert into listed as held (unit_id, module, country_code, party_id, object_id, newest)
    select unit_id, module, country_code, party_id, object_id, newest from tree where is_shown
    order by unit_id
    on conflict (unit_id) do update set newest = excluded.newest where held.newest <> excluded.newest;
    return null;
end $$;
create trigger list_inserted after insert on unit referencing new table as changed
    for each statement execute function list_units();
create trigger list_updated after update on unit referencing new table as changed
    for each statement execute function list_units();
create trigger list_deleted after delete on unit referencing old table as changed
    for each statement execute function list_units();

-- A receiver is a party on a platform. How it does and what was set for it, shared by all workers; no row: all is well.
-- opened_at: its breaker is open since then, and next_try_at is when one worker may try (it moves that to claim the trial).
-- asked_until: the receiver asked to be left alone until then (D-21). catch_up D-13, touches D-28. rate: most requests per second.
create table receiver (
    platform_id uuid not null references platform on delete cascade,
    country_code text not null,
    party_id text not null,
    is_paused boolean not null default false,
    catch_up text not null default 'push' check (catch_up in ('push', 'none')),
    touches text not null default 'send' check (touches in ('send', 'skip')),
    rate double precision check (rate > 0),
    opened_at timestamptz,
    next_try_at timestamptz,
    asked_until timestamptz,
    failures integer not null default 0,
    reason text not null default '',
    updated_at timestamptz not null default now(),
    primary key (platform_id, country_code, party_id)
);

-- A receiver still has to get the current state of a unit, once. since: when the first mark was made, marked_at the latest;
-- marking is new each time, so that a send deletes only what it has seen. log_partition: its owner sends. not_before: after a
-- failure of this unit alone, not earlier than this.
create sequence marking;
create table dirty_mark (
    platform_id uuid not null references platform on delete cascade,
    country_code text not null,
    party_id text not null,
    module text not null,
    owner_country_code text not null,
    owner_party_id text not null,
    object_id text not null,
    evse_uid text not null default '',
    log_partition integer not null,
    since timestamptz not null default clock_timestamp(),
    marked_at timestamptz not null default clock_timestamp(),
    marking bigint not null default nextval('marking'),
    tries integer not null default 0,
    not_before timestamptz not null default '-infinity',
    primary key (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid)
);
create index dirty_mark_order on dirty_mark (platform_id, country_code, party_id, log_partition, since, marking);

-- What a receiver refused with an OCPI code, until it takes a later version of the unit.
create table refusal (
    platform_id uuid not null references platform on delete cascade,
    country_code text not null,
    party_id text not null,
    module text not null,
    owner_country_code text not null,
    owner_party_id text not null,
    object_id text not null,
    evse_uid text not null default '',
    log_partition integer not null,
    method text not null,
    http_status integer,
    ocpi_status integer,
    detail text not null default '',
    correlation_id text not null,
    count integer not null default 1,
    first_at timestamptz not null default now(),
    refused_at timestamptz not null default now(),
    primary key (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id, evse_uid)
);

-- Sessions and CDRs, each for the one party that confirmed it and for nobody else (D-04). Key columns are folded. raw is the object
-- as it is after all that its owner sent; last_updated its clock, whole_at the clock of the last push that said all of it: null while
-- only patches of it are known, and then it is not shown. directed_id gives the order of creation, for paging; revision is raised by
-- every change, so that of two writers one begins anew.
create table directed (
    directed_id bigint generated always as identity,
    platform_id uuid not null references platform on delete cascade,
    country_code text not null,
    party_id text not null,
    module text not null check (module in ('sessions', 'cdrs')),
    owner_country_code text not null,
    owner_party_id text not null,
    object_id text not null,
    raw text not null,
    last_updated timestamptz not null,
    whole_at timestamptz,
    revision bigint not null,
    primary key (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id)
);
create index directed_order on directed (platform_id, country_code, party_id, module, directed_id) include (last_updated)
    where whole_at is not null;

-- A Location without its EVSEs, a Tariff or a Token that a receiver has from a push to it alone: its copy is not the one that is held
-- for all, so nothing but a live push to all takes that place (D-04).
create table directed_note (
    platform_id uuid not null references platform on delete cascade,
    country_code text not null,
    party_id text not null,
    module text not null,
    owner_country_code text not null,
    owner_party_id text not null,
    object_id text not null,
    noted_at timestamptz not null,
    primary key (platform_id, country_code, party_id, module, owner_country_code, owner_party_id, object_id)
);

-- What a receiver was filled with: each module that it may get, the owners (CC/PARTY) whose objects were marked for it, and the
-- directory version under which that was last done.
create table receiver_fill (
    platform_id uuid not null references platform on delete cascade,
    country_code text not null,
    party_id text not null,
    module text not null,
    owners text[] not null,
    directory_version bigint not null,
    filled_at timestamptz not null default now(),
    primary key (platform_id, country_code, party_id, module)
);

-- What waits in the lanes of each fan-out process right now, as it last said; oldest_at is the arrival of the oldest record.
create unlogged table receiver_load (
    process_id text not null,
    platform_id uuid not null,
    country_code text not null,
    party_id text not null,
    in_flight integer not null,
    waiting integer not null,
    waiting_bytes bigint not null,
    oldest_at timestamptz,
    updated_at timestamptz not null default now(),
    primary key (process_id, platform_id, country_code, party_id)
);

-- Every outcome of every leg, one row each, in daily partitions. at is when it happened; the rest are facts without bodies.
create table exchange (
    at timestamptz not null,
    outcome_id uuid not null,
    correlation_id text not null,
    request_id text not null,
    leg text not null,
    kind text not null,
    platform_id uuid,
    from_party text,
    to_party text,
    ocpi_version text,
    module text,
    interface text,
    method text,
    object text,
    http_status integer,
    ocpi_status integer,
    verdict text,
    detail text,
    elapsed_ms double precision,
    trace_id text,
    primary key (at, outcome_id)
) partition by range (at);
create index exchange_correlation on exchange (correlation_id, at);
create index exchange_parties on exchange (to_party, at);
create table exchange_default partition of exchange default;

-- Make the partition of one UTC day; rows of that day that wait in the default partition move into it. False if it is there.
create function add_exchange_day(day date) returns boolean language plpgsql as $$
declare
    partition_name text := 'exchange_' || to_char(day, 'YYYYMMDD');
    first_moment timestamptz := day::timestamp at time zone 'UTC';
    end_moment timestamptz := (day + 1)::timestamp at time zone 'UTC';
begin
    perform pg_advisory_xact_lock(hashtext('exchange days'));
    if to_regclass(partition_name) is not null then
        return false;
    end if;
    lock table exchange_default in access exclusive mode;
    execute format('create table %I (like exchange including all)', partition_name);
    execute format('with moved as (delete from exchange_default where at >= $1 and at < $2 returning *)'
        ' insert into %I select * from moved', partition_name) using first_moment, end_moment;
    execute format('alter table exchange attach partition %I for values from (%L) to (%L)',
        partition_name, first_moment, end_moment);
    return true;
end $$;

-- Drop the partitions of all UTC days before this one, and older rows that lie in the default partition.
create function drop_exchange_days(first_kept date) returns integer language plpgsql as $$
declare
    partition_name text;
    dropped integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('exchange days'));
    for partition_name in
        select child.relname from pg_inherits join pg_class child on child.oid = inhrelid
        where inhparent = 'exchange'::regclass and child.relname ~ '^exchange_[0-9]{8}$'
            and child.relname < 'exchange_' || to_char(first_kept, 'YYYYMMDD')
    loop
        execute format('drop table %I', partition_name);
        dropped := dropped + 1;
    end loop;
    delete from exchange_default where at < first_kept::timestamp at time zone 'UTC';
    return dropped;
end $$;

-- Exact counts by minute.
create table exchange_rollup (
    minute timestamptz not null,
    from_party text not null,
    to_party text not null,
    module text not null,
    kind text not null,
    verdict text not null,
    count bigint not null,
    primary key (minute, from_party, to_party, module, kind, verdict)
);

-- What operators did, and to what.
create table audit (
    audit_id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    operator text not null,
    action text not null,
    subject text not null,
    detail jsonb not null default '{}'
);

-- What an operator did with a dead letter; the record itself stays in the log until it expires there. log_epoch: the topic's id.
-- source: the place in the log from which it was buried; count: how often it was put back.
create table dead_letter_disposition (
    log_epoch text not null,
    log_partition integer not null,
    log_offset bigint not null,
    source text not null,
    action text not null check (action in ('redriven', 'discarded')),
    operator text not null,
    count integer not null default 1,
    at timestamptz not null default now(),
    primary key (log_epoch, log_partition, log_offset)
);
create index dead_letter_disposition_source on dead_letter_disposition (log_epoch, source);
