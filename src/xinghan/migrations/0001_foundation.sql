-- The ledger's tables. `bucket` is the first column of every key, so that the same tables
-- can be distributed over nodes; nothing here refers across buckets (docs/concepts/ledger.md).
CREATE SCHEMA ledger;

-- An account's number carries what every posting must know of it without a look-up:
--   number = sequence << 18 | ISO 4217 numeric code << 8 | bucket
-- The low byte is the account's one bucket (0..63), or 255 for an account that is striped over
-- all 64 buckets, one row in each. Both sides of a posting can thus be compared by a CHECK.
CREATE SEQUENCE ledger.account_sequence AS bigint MINVALUE 1 MAXVALUE 35184372088831;

CREATE TABLE ledger.account (
    bucket smallint NOT NULL CHECK (bucket BETWEEN 0 AND 63),
    id bigint NOT NULL CHECK (id > 0),
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{1,40}$'),
    debit_normal boolean NOT NULL,
    floor_minor bigint,
    ceiling_minor bigint,
    debits_refused boolean NOT NULL DEFAULT false,
    credits_refused boolean NOT NULL DEFAULT false,
    closed boolean NOT NULL DEFAULT false,
    debits_posted bigint NOT NULL DEFAULT 0,
    credits_posted bigint NOT NULL DEFAULT 0,
    debits_pending bigint NOT NULL DEFAULT 0,
    credits_pending bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (bucket, id),
    CONSTRAINT account_lives_in_bucket CHECK ((id & 255) = bucket OR (id & 255) = 255),
    CONSTRAINT account_counters_bounded CHECK (
        debits_posted BETWEEN 0 AND 4000000000000000000
        AND credits_posted BETWEEN 0 AND 4000000000000000000
        AND debits_pending BETWEEN 0 AND 4000000000000000000
        AND credits_pending BETWEEN 0 AND 4000000000000000000
        AND version >= 0
    ),
    CONSTRAINT account_available_above_floor CHECK (
        floor_minor IS NULL
        OR CASE WHEN debit_normal
            THEN debits_posted - credits_posted - credits_pending
            ELSE credits_posted - debits_posted - debits_pending
        END >= floor_minor
    ),
    CONSTRAINT account_below_ceiling CHECK (
        ceiling_minor IS NULL
        OR CASE WHEN debit_normal
            THEN debits_posted - credits_posted + debits_pending
            ELSE credits_posted - debits_posted + credits_pending
        END <= ceiling_minor
    )
) WITH (fillfactor = 50);

-- Who froze, unfroze, limited or closed an account, and why.
CREATE TABLE ledger.account_change (
    bucket smallint NOT NULL,
    account bigint NOT NULL,
    id uuid NOT NULL,
    change text NOT NULL CHECK (change IN ('freeze', 'unfreeze', 'limit', 'close')),
    detail jsonb NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (bucket, account, id)
);

-- The journal: one row moves one amount from one account to another, so every row sums to zero.
-- A posting with several legs is several rows with the same id.
-- kind: 1 post, 2 hold, 3 capture, 4 release, 5 expiry of a hold, 6 reversal.
CREATE TABLE ledger.posting (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    leg smallint NOT NULL CHECK (leg BETWEEN 0 AND 999),
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 6),
    debit_bucket smallint NOT NULL,
    debit_account bigint NOT NULL,
    debit_version bigint NOT NULL,
    credit_bucket smallint NOT NULL,
    credit_account bigint NOT NULL,
    credit_version bigint NOT NULL,
    amount bigint NOT NULL,
    refers_to uuid,
    linked_to uuid,
    event_at timestamptz,
    created_at timestamptz NOT NULL,
    metadata jsonb,
    transaction bigint NOT NULL,
    PRIMARY KEY (bucket, id, leg),
    CONSTRAINT posting_amount_bounded CHECK (amount BETWEEN 1 AND 1000000000000000),
    CONSTRAINT posting_one_currency CHECK (((debit_account # credit_account) & 261888) = 0),
    CONSTRAINT posting_two_accounts CHECK (debit_account <> credit_account OR debit_bucket <> credit_bucket),
    CONSTRAINT posting_sides_live_in_buckets CHECK (
        ((debit_account & 255) = debit_bucket OR (debit_account & 255) = 255)
        AND ((credit_account & 255) = credit_bucket OR (credit_account & 255) = 255)
    ),
    CONSTRAINT posting_refers CHECK ((kind >= 3) = (refers_to IS NOT NULL))
);

CREATE UNIQUE INDEX posting_reversed_once ON ledger.posting (bucket, refers_to, leg) WHERE kind = 6;
CREATE INDEX posting_of_hold ON ledger.posting (bucket, refers_to) WHERE kind BETWEEN 3 AND 5;
CREATE INDEX posting_metadata ON ledger.posting USING gin (metadata jsonb_path_ops) WHERE metadata IS NOT NULL;
CREATE INDEX posting_transaction ON ledger.posting USING brin (transaction) WITH (pages_per_range = 16);

-- One side of a posting as its account saw it: the change of the posted balance, the balance after, and what
-- holds kept back after. Signs are the journal's: credits positive, debits negative; a reader turns the sign
-- of a debit-normal account.
CREATE TABLE ledger.entry (
    bucket smallint NOT NULL,
    account bigint NOT NULL,
    version bigint NOT NULL,
    posting_bucket smallint NOT NULL,
    leg smallint NOT NULL,
    posting uuid NOT NULL,
    change bigint NOT NULL,
    balance_after bigint NOT NULL,
    held_after bigint NOT NULL,
    created_at timestamptz NOT NULL,
    event_at timestamptz,
    PRIMARY KEY (bucket, account, version)
);

CREATE INDEX entry_event_at ON ledger.entry (bucket, account, event_at) WHERE event_at IS NOT NULL;

-- What is left of each hold; every column can be recomputed from the journal.
CREATE TABLE ledger.hold (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    leg smallint NOT NULL,
    debit_bucket smallint NOT NULL,
    debit_account bigint NOT NULL,
    credit_bucket smallint NOT NULL,
    credit_account bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    captured bigint NOT NULL DEFAULT 0,
    released bigint NOT NULL DEFAULT 0,
    expires_at timestamptz,
    PRIMARY KEY (bucket, id, leg),
    CONSTRAINT hold_not_overdrawn CHECK (captured >= 0 AND released >= 0 AND captured + released <= amount)
) WITH (fillfactor = 70);

CREATE INDEX hold_expiring ON ledger.hold (expires_at, bucket) WHERE captured + released < amount;

-- The application adds to the journal and moves counters; it takes nothing away.
GRANT USAGE ON SCHEMA ledger TO xinghan_app;
GRANT USAGE ON SEQUENCE ledger.account_sequence TO xinghan_app;
GRANT SELECT, INSERT ON ledger.posting, ledger.entry, ledger.account_change TO xinghan_app;
GRANT SELECT, INSERT, UPDATE ON ledger.account, ledger.hold TO xinghan_app;

-- Money moves here and nowhere else. The caller (ledger/posting.py) has locked the accounts, judged every
-- posting in order and numbered the versions; this function moves the counters by what the journal rows say,
-- so the books sum to zero whatever the caller believed, and refuses if any account moved in between.
-- The arrays after p_credit_balance may be empty: they hold what a plain one-leg posting does not need.
CREATE FUNCTION ledger.write_v1(
    p_id uuid [], p_bucket smallint [], p_debit_account bigint [], p_credit_account bigint [], p_amount bigint [],
    p_debit_version bigint [], p_credit_version bigint [], p_debit_balance bigint [], p_credit_balance bigint [],
    p_kind smallint [], p_leg smallint [], p_debit_bucket smallint [], p_credit_bucket smallint [],
    p_debit_held bigint [], p_credit_held bigint [], p_refers_to uuid [], p_linked_to uuid [],
    p_event_at timestamptz [], p_expires_at timestamptz [], p_metadata jsonb []
) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    -- No later than the rows are locked and no earlier than they were read, so that per account time
    -- never runs against the version.
    v_now CONSTANT timestamptz := clock_timestamp();
    v_transaction CONSTANT bigint := pg_current_xact_id()::text::bigint;
    v_accounts bigint;
    v_moved bigint;
    v_holds_named bigint;
    v_holds_moved bigint;
BEGIN
    WITH leg AS MATERIALIZED (
        SELECT u.id, u.bucket, u.debit_account, u.credit_account, u.amount,
            u.debit_version, u.credit_version, u.debit_balance, u.credit_balance,
            coalesce(u.kind, 1::smallint) AS kind,
            coalesce(u.leg, 0::smallint) AS leg,
            coalesce(u.debit_bucket,
                CASE WHEN (u.debit_account & 255) = 255 THEN u.bucket ELSE (u.debit_account & 255)::smallint END
            ) AS debit_bucket,
            coalesce(u.credit_bucket,
                CASE WHEN (u.credit_account & 255) = 255 THEN u.bucket ELSE (u.credit_account & 255)::smallint END
            ) AS credit_bucket,
            coalesce(u.debit_held, 0) AS debit_held,
            coalesce(u.credit_held, 0) AS credit_held,
            CASE WHEN coalesce(u.kind, 1::smallint) IN (1, 3, 6) THEN u.amount ELSE 0 END AS posted,
            CASE coalesce(u.kind, 1::smallint)
                WHEN 1 THEN 0 WHEN 6 THEN 0 WHEN 2 THEN u.amount ELSE -u.amount
            END AS pending,
            -- Freezing hinders neither what is on hold already, nor a move between the stripes of one account.
            coalesce(u.kind, 1::smallint) IN (1, 2, 6) AND u.debit_account <> u.credit_account AS begins,
            u.refers_to, u.linked_to, u.event_at, u.expires_at, u.metadata
        FROM unnest(
            p_id, p_bucket, p_debit_account, p_credit_account, p_amount,
            p_debit_version, p_credit_version, p_debit_balance, p_credit_balance,
            p_kind, p_leg, p_debit_bucket, p_credit_bucket, p_debit_held, p_credit_held,
            p_refers_to, p_linked_to, p_event_at, p_expires_at, p_metadata
        ) AS u (
            id, bucket, debit_account, credit_account, amount,
            debit_version, credit_version, debit_balance, credit_balance,
            kind, leg, debit_bucket, credit_bucket, debit_held, credit_held,
            refers_to, linked_to, event_at, expires_at, metadata
        )
    ), side AS (
        SELECT bucket, account,
            sum(debit_posted)::bigint AS debits_posted, sum(credit_posted)::bigint AS credits_posted,
            sum(debit_pending)::bigint AS debits_pending, sum(credit_pending)::bigint AS credits_pending,
            bool_or(leaves) AS leaves, bool_or(enters) AS enters,
            min(version) AS version_first, max(version) AS version_last, count(*) AS movements
        FROM (
            SELECT debit_bucket AS bucket, debit_account AS account, debit_version AS version,
                posted AS debit_posted, 0::bigint AS credit_posted, pending AS debit_pending,
                0::bigint AS credit_pending, begins AS leaves, false AS enters
            FROM leg
            UNION ALL
            SELECT credit_bucket, credit_account, credit_version, 0, posted, 0, pending, false, begins FROM leg
        ) AS movement
        GROUP BY bucket, account
        -- Rows are then updated in this order, so that two batches never wait for each other.
        ORDER BY bucket, account
    ), moved AS (
        UPDATE ledger.account AS a
        SET debits_posted = a.debits_posted + side.debits_posted,
            credits_posted = a.credits_posted + side.credits_posted,
            debits_pending = a.debits_pending + side.debits_pending,
            credits_pending = a.credits_pending + side.credits_pending,
            version = side.version_last
        FROM side
        WHERE a.bucket = side.bucket AND a.id = side.account
            AND a.version = side.version_first - 1
            AND side.movements = side.version_last - side.version_first + 1
            AND NOT (a.closed OR (a.debits_refused AND side.leaves) OR (a.credits_refused AND side.enters))
        RETURNING 1
    ), journal AS (
        INSERT INTO ledger.posting (
            bucket, id, leg, kind, debit_bucket, debit_account, debit_version,
            credit_bucket, credit_account, credit_version, amount,
            refers_to, linked_to, event_at, created_at, metadata, transaction
        )
        SELECT bucket, id, leg, kind, debit_bucket, debit_account, debit_version,
            credit_bucket, credit_account, credit_version, amount,
            refers_to, linked_to, event_at, v_now, metadata, v_transaction
        FROM leg
    ), history AS (
        INSERT INTO ledger.entry (
            bucket, account, version, posting_bucket, leg, posting, change, balance_after, held_after,
            created_at, event_at
        )
        SELECT s.bucket, s.account, s.version, leg.bucket, leg.leg, leg.id, s.change, s.balance, s.held,
            v_now, leg.event_at
        FROM leg
        CROSS JOIN LATERAL (
            VALUES
            (leg.debit_bucket, leg.debit_account, leg.debit_version, -leg.posted, leg.debit_balance, leg.debit_held),
            (
                leg.credit_bucket, leg.credit_account, leg.credit_version, leg.posted, leg.credit_balance,
                leg.credit_held
            )
        ) AS s (bucket, account, version, change, balance, held)
    ), held AS (
        INSERT INTO ledger.hold (
            bucket, id, leg, debit_bucket, debit_account, credit_bucket, credit_account, amount, expires_at
        )
        SELECT bucket, id, leg, debit_bucket, debit_account, credit_bucket, credit_account, amount, expires_at
        FROM leg
        WHERE kind = 2
    )
    SELECT (SELECT count(*) FROM side), (SELECT count(*) FROM moved) INTO v_accounts, v_moved;
    IF v_moved <> v_accounts THEN
        RAISE EXCEPTION 'an account moved while a batch was judged' USING ERRCODE = 'serialization_failure';
    END IF;
    -- A hold and its capture may stand in one batch, so the hold's row must be there first.
    IF p_kind && ARRAY[3, 4, 5]::smallint [] THEN
        WITH taken AS MATERIALIZED (
            SELECT u.bucket, u.refers_to, u.leg,
                coalesce(sum(u.amount) FILTER (WHERE u.kind = 3), 0)::bigint AS captured,
                coalesce(sum(u.amount) FILTER (WHERE u.kind IN (4, 5)), 0)::bigint AS released
            FROM unnest(p_bucket, p_refers_to, p_leg, p_kind, p_amount) AS u (bucket, refers_to, leg, kind, amount)
            WHERE u.kind IN (3, 4, 5)
            GROUP BY u.bucket, u.refers_to, u.leg
        ), moved AS (
            UPDATE ledger.hold AS h
            SET captured = h.captured + taken.captured, released = h.released + taken.released
            FROM taken
            WHERE h.bucket = taken.bucket AND h.id = taken.refers_to AND h.leg = taken.leg
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM moved) INTO v_holds_named, v_holds_moved;
        IF v_holds_moved <> v_holds_named THEN
            RAISE EXCEPTION 'a capture or release names no hold' USING ERRCODE = 'foreign_key_violation';
        END IF;
    END IF;
    RETURN v_now;
END $$;

-- The last version that an account's row had at an instant; 0 when it had none. Versions and created_at grow
-- together, so that some twenty probes of the key find it among a million, without an index on time.
CREATE FUNCTION ledger.version_at(p_bucket smallint, p_account bigint, p_at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_low bigint := 0;
    v_high bigint := coalesce((
        SELECT e.version FROM ledger.entry AS e
        WHERE e.bucket = p_bucket AND e.account = p_account
        ORDER BY e.version DESC LIMIT 1
    ), 0);
    v_probe bigint := v_high;
BEGIN
    -- The newest is probed first, because most questions are about now. Not after v_low, before v_high + 1.
    WHILE v_low < v_high LOOP
        IF (
            SELECT e.created_at FROM ledger.entry AS e
            WHERE e.bucket = p_bucket AND e.account = p_account AND e.version = v_probe
        ) <= p_at THEN
            v_low := v_probe;
        ELSE
            v_high := v_probe - 1;
        END IF;
        v_probe := v_low + (v_high - v_low + 1) / 2;
    END LOOP;
    RETURN v_low;
END $$;

-- "Append-only" is the database's own rule, for the owner of the tables too.
CREATE FUNCTION ledger.refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % is refused', tg_table_schema, tg_table_name, tg_op
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER posting_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.posting
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entry
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER account_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.account_change
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ledger TO xinghan_app;

-- Tamper evidence: blocks of postings, chained by their heads, each head signed (ledger/proof).
-- A block holds the postings whose transaction is in (after_transaction, last_transaction] and whose
-- created_at is in (created_after, created_until]; the second pair tells apart postings from before and
-- after the database was moved to a server that counts its transactions anew.
-- No payment touches this table: on a cluster it stays whole, without a bucket.
CREATE TABLE ledger.block (
    number bigint PRIMARY KEY CHECK (number > 0),
    system_identifier bigint NOT NULL,
    after_transaction bigint NOT NULL,
    last_transaction bigint NOT NULL,
    created_after timestamptz NOT NULL,
    created_until timestamptz NOT NULL,
    postings bigint NOT NULL CHECK (postings >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    head bytea NOT NULL CHECK (octet_length(head) = 32),
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    -- The first 8 bytes of each leaf: proof of nothing, but they tell which posting of a block was changed.
    fingerprints bytea NOT NULL,
    CONSTRAINT block_in_order CHECK (
        after_transaction >= 0 AND last_transaction >= after_transaction AND created_until >= created_after
    ),
    CONSTRAINT block_fingerprinted CHECK (octet_length(fingerprints) = 8 * postings)
);

CREATE INDEX block_last_transaction ON ledger.block (last_transaction);

CREATE TRIGGER block_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.block
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

GRANT SELECT, INSERT ON ledger.block TO xinghan_app;

-- Waits until nobody is posting, lets nobody post before the transaction ends, and gives an instant that
-- parts all postings that stand from all that will come: whoever posts reads accounts first, so that the
-- clock of a posting that has to wait here is read afterwards. Needed once after a move to another server;
-- given up rather than holding up everybody behind a long reading of the books.
CREATE FUNCTION ledger.stop_postings_v1() RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS $$
BEGIN
    LOCK TABLE ledger.account IN ACCESS EXCLUSIVE MODE;
    RETURN greatest(clock_timestamp(), (SELECT max(created_at) FROM ledger.posting));
END $$;

-- Lets the index by transaction know the newest pages, so that sealing reads only what is new. A vacuum
-- that holds the table is never waited for: it does the same work.
CREATE FUNCTION ledger.summarize_postings_v1() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    PERFORM brin_summarize_new_values('ledger.posting_transaction');
EXCEPTION
    WHEN lock_not_available THEN NULL;
END $$;

REVOKE EXECUTE ON FUNCTION ledger.stop_postings_v1(), ledger.summarize_postings_v1() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.stop_postings_v1(), ledger.summarize_postings_v1() TO xinghan_app;

-- People, merchants, their apps and devices. `bucket` is the first column of every key of what a payment
-- touches; merchants, apps and their keys are reference tables, small enough to be on every node.
CREATE SCHEMA identity;

-- People and merchants share one sequence, because their numbers (2088...) share one form.
CREATE SEQUENCE identity.user_sequence AS bigint MINVALUE 1 MAXVALUE 999999999999;
CREATE SEQUENCE identity.app_sequence AS bigint MINVALUE 1 MAXVALUE 999999999999;

CREATE TABLE identity.person (
    bucket smallint NOT NULL CHECK (bucket BETWEEN 0 AND 63),
    id uuid NOT NULL,
    number bigint NOT NULL,
    name text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'closed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, id),
    CONSTRAINT person_number_once UNIQUE (bucket, number),
    CONSTRAINT person_lives_in_bucket CHECK (number % 64 = bucket)
);

-- In the sandbox people are called by their names, which therefore have to differ.
CREATE TABLE identity.sandbox_name (
    name text NOT NULL,
    bucket smallint NOT NULL,
    person uuid NOT NULL,
    PRIMARY KEY (name)
);

-- A device's number says its bucket, because it is all that a payment code tells.
CREATE TABLE identity.device (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    person uuid NOT NULL,
    number bigint NOT NULL CHECK (number BETWEEN 0 AND 9999999999),
    secret_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    revoked_by text,
    PRIMARY KEY (bucket, id),
    CONSTRAINT device_number_once UNIQUE (bucket, number),
    CONSTRAINT device_lives_in_bucket CHECK (number % 64 = bucket),
    CONSTRAINT device_belongs_to_person FOREIGN KEY (bucket, person) REFERENCES identity.person (bucket, id),
    CONSTRAINT device_revoked_by_somebody CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);

CREATE INDEX device_of_person ON identity.device (bucket, person);

CREATE TABLE identity.merchant (
    id uuid NOT NULL,
    number bigint NOT NULL,
    name text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'closed')),
    fee_bps integer NOT NULL CHECK (fee_bps BETWEEN 0 AND 10000),
    fee_rounding text NOT NULL CHECK (fee_rounding IN ('half_up', 'half_even', 'down', 'up')),
    fee_min_minor bigint CHECK (fee_min_minor >= 0),
    fee_max_minor bigint CHECK (fee_max_minor >= coalesce(fee_min_minor, 0)),
    fee_on_refund text NOT NULL CHECK (fee_on_refund IN ('returned', 'kept')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CONSTRAINT merchant_number_once UNIQUE (number)
);

CREATE TABLE identity.app (
    id uuid NOT NULL,
    app_id text NOT NULL CHECK (app_id ~ '^[0-9]{16}$'),
    merchant uuid NOT NULL REFERENCES identity.merchant (id),
    name text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('key', 'certificate')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CONSTRAINT app_id_once UNIQUE (app_id)
);

CREATE INDEX app_of_merchant ON identity.app (merchant);

-- One key of an app; while a key is changed, the old and the new one stand side by side.
--   merchant_signature    what the app signs with: we know its public key only
--   platform_signature    what we sign with for this app: our private key is sealed
--   content_encryption    the AES key of both, sealed
CREATE TABLE identity.app_key (
    app uuid NOT NULL REFERENCES identity.app (id),
    id uuid NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('merchant_signature', 'platform_signature', 'content_encryption')),
    public_key bytea,
    secret_sealed bytea,
    sign_types text [] CHECK (sign_types <@ ARRAY['RSA', 'RSA2']),
    certificate_sn text,
    certificate_pem text,
    root_sn text,
    valid_from timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    PRIMARY KEY (app, id),
    CONSTRAINT app_key_public CHECK ((purpose <> 'content_encryption') = (public_key IS NOT NULL)),
    CONSTRAINT app_key_secret CHECK ((purpose <> 'merchant_signature') = (secret_sealed IS NOT NULL)),
    CONSTRAINT app_key_sign_types CHECK ((purpose = 'merchant_signature') = (sign_types IS NOT NULL)),
    CONSTRAINT app_key_certificate CHECK (
        (certificate_sn IS NULL) = (certificate_pem IS NULL)
        AND (root_sn IS NOT NULL) = (purpose = 'platform_signature' AND certificate_sn IS NOT NULL)
    )
);

-- The platform's own root, which issues the certificates of apps in certificate mode.
CREATE TABLE identity.certificate_authority (
    singleton boolean NOT NULL DEFAULT true CHECK (singleton),
    id uuid NOT NULL,
    certificate_pem text NOT NULL,
    private_key_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (singleton)
);

-- Which master keys this database was sealed with (a keyed hash of nothing), and where they lay.
CREATE TABLE identity.master_key (
    singleton boolean NOT NULL DEFAULT true CHECK (singleton),
    fingerprint bytea NOT NULL,
    directory text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (singleton)
);

-- Where the platform was last told to serve, for commands that run beside it.
CREATE TABLE identity.platform_address (
    singleton boolean NOT NULL DEFAULT true CHECK (singleton),
    public_url text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (singleton)
);

-- Who did what that needed a right to do it.
CREATE TABLE identity.audit (
    id uuid NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    act text NOT NULL CHECK (act ~ '^[a-z_]{1,60}$'),
    subject uuid NOT NULL,
    detail jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

CREATE INDEX audit_of_subject ON identity.audit (subject, id);

-- The operator's token, of which only the SHA-256 is kept; a new one retires the one before.
CREATE TABLE identity.operator_token (
    id uuid NOT NULL,
    token_hash bytea NOT NULL CHECK (octet_length(token_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    PRIMARY KEY (id),
    CONSTRAINT operator_token_once UNIQUE (token_hash)
);

CREATE UNIQUE INDEX operator_token_active ON identity.operator_token ((true)) WHERE retired_at IS NULL;

-- Somebody who signed in to the operator's pages with that token.
CREATE TABLE identity.operator_session (
    id uuid NOT NULL,
    token uuid NOT NULL REFERENCES identity.operator_token (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (id)
);

GRANT USAGE ON SCHEMA identity TO xinghan_app;
GRANT USAGE ON SEQUENCE identity.user_sequence, identity.app_sequence TO xinghan_app;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA identity TO xinghan_app;
GRANT UPDATE ON identity.platform_address TO xinghan_app;
GRANT UPDATE (retired_at) ON identity.operator_token TO xinghan_app;
GRANT UPDATE (ended_at) ON identity.operator_session TO xinghan_app;

CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON identity.audit
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

-- Which ledger account holds whose money. An account's number never changes.
CREATE SCHEMA wallets;

CREATE TABLE wallets.wallet (
    bucket smallint NOT NULL CHECK (bucket BETWEEN 0 AND 63),
    person uuid NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    account bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, person, currency),
    CONSTRAINT wallet_account_once UNIQUE (bucket, account),
    CONSTRAINT wallet_account_in_bucket CHECK ((account & 255) = bucket)
);

-- Accounts of merchants and of the platform are striped over all buckets; these are reference tables.
CREATE TABLE wallets.merchant_account (
    merchant uuid NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    account bigint NOT NULL CHECK ((account & 255) = 255),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant, currency)
);

CREATE TABLE wallets.platform_account (
    purpose text NOT NULL CHECK (purpose IN ('sandbox_funding', 'fee_income')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    account bigint NOT NULL CHECK ((account & 255) = 255),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (purpose, currency)
);

GRANT USAGE ON SCHEMA wallets TO xinghan_app;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA wallets TO xinghan_app;

-- Orders, refunds, what happened to them, and what shops are told. A trade's bucket follows from its merchant
-- and the merchant's number, so that the number is unique without a constraint across buckets.
CREATE SCHEMA payments;

CREATE TABLE payments.trade (
    bucket smallint NOT NULL CHECK (bucket BETWEEN 0 AND 63),
    id uuid NOT NULL,
    merchant uuid NOT NULL,
    out_trade_no text NOT NULL CHECK (length(out_trade_no) BETWEEN 1 AND 64),
    app_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('WAIT_BUYER_PAY', 'TRADE_SUCCESS', 'TRADE_FINISHED', 'TRADE_CLOSED')),
    subject text NOT NULL,
    currency text NOT NULL,
    total_minor bigint NOT NULL CHECK (total_minor BETWEEN 1 AND 1000000000000000),
    seller_account bigint NOT NULL,
    fee_account bigint NOT NULL,
    details jsonb NOT NULL,
    notify_url text,
    wanted_buyer uuid,
    buyer uuid,
    buyer_account bigint,
    fee_bps integer NOT NULL CHECK (fee_bps BETWEEN 0 AND 10000),
    fee_rounding text NOT NULL,
    fee_on_refund text NOT NULL CHECK (fee_on_refund IN ('returned', 'kept')),
    fee_minor bigint NOT NULL DEFAULT 0 CHECK (fee_minor BETWEEN 0 AND total_minor),
    refunded_minor bigint NOT NULL DEFAULT 0 CHECK (refunded_minor BETWEEN 0 AND total_minor),
    fee_returned_minor bigint NOT NULL DEFAULT 0 CHECK (fee_returned_minor BETWEEN 0 AND fee_minor),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    paid_at timestamptz,
    refundable_until timestamptz,
    closed_at timestamptz,
    PRIMARY KEY (bucket, id),
    CONSTRAINT trade_number_once UNIQUE (bucket, merchant, out_trade_no),
    CONSTRAINT trade_paid_by_somebody CHECK (
        (paid_at IS NULL) = (buyer IS NULL) AND (paid_at IS NULL) = (buyer_account IS NULL)
    ),
    CONSTRAINT trade_state_follows CHECK (
        (state <> 'WAIT_BUYER_PAY' OR paid_at IS NULL)
        AND (state NOT IN ('TRADE_SUCCESS', 'TRADE_FINISHED') OR paid_at IS NOT NULL)
        AND (state = 'TRADE_CLOSED') = (closed_at IS NOT NULL)
    )
) WITH (fillfactor = 70);

CREATE INDEX trade_expiring ON payments.trade (expires_at) WHERE state = 'WAIT_BUYER_PAY';
CREATE INDEX trade_finishing ON payments.trade (refundable_until) WHERE state = 'TRADE_SUCCESS';
CREATE INDEX trade_newest ON payments.trade (merchant, created_at DESC, id);

-- A refund, also the one that cancels a paid trade; its id is the id of its posting.
CREATE TABLE payments.refund (
    bucket smallint NOT NULL,
    trade uuid NOT NULL,
    out_request_no text NOT NULL CHECK (length(out_request_no) BETWEEN 1 AND 64),
    id uuid NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    fee_returned_minor bigint NOT NULL CHECK (fee_returned_minor >= 0),
    reason text,
    cancels boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, trade, out_request_no)
);

-- The trade's timeline: what happened, when, and who caused it.
CREATE TABLE payments.event (
    bucket smallint NOT NULL,
    trade uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (
        kind IN ('created', 'paid', 'refunded', 'cancelled', 'closed', 'expired', 'finished', 'resent')
    ),
    actor text NOT NULL,
    detail jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, trade, id)
);

-- A payment code that was used; the key makes it work once.
CREATE TABLE payments.code_use (
    bucket smallint NOT NULL,
    device uuid NOT NULL,
    step bigint NOT NULL,
    trade uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, device, step)
);

-- Payment codes that were wrong, counted per merchant or device and minute, so that guessing stops early.
CREATE TABLE payments.code_failure (
    bucket smallint NOT NULL,
    subject uuid NOT NULL,
    minute timestamptz NOT NULL,
    failures integer NOT NULL,
    PRIMARY KEY (bucket, subject, minute)
);

-- The outbox: what a shop has to be told, written by the transaction that made it true.
CREATE TABLE payments.notification (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    trade uuid NOT NULL,
    app_id text NOT NULL,
    url text NOT NULL,
    content jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    delivered_at timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, id)
) WITH (fillfactor = 80);

-- By app, because a look for what is due takes a few of each app: a shop that does not answer may leave any
-- number of rows here, and they must not have to be read to find the others'.
CREATE INDEX notification_due ON payments.notification (app_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX notification_of_trade ON payments.notification (bucket, trade);

-- Every try to tell a shop, also the one that a crash cut short (its outcome stays empty).
CREATE TABLE payments.notification_attempt (
    bucket smallint NOT NULL,
    notification uuid NOT NULL,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    outcome text CHECK (outcome IN ('delivered', 'refused', 'unreachable', 'address_refused', 'not_sent')),
    http_status integer,
    answer text,
    elapsed_milliseconds integer,
    PRIMARY KEY (bucket, notification, number)
);

-- The application adds; what happened and what a shop was told stay as they were written.
GRANT USAGE ON SCHEMA payments TO xinghan_app;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA payments TO xinghan_app;
GRANT UPDATE ON payments.trade TO xinghan_app;
GRANT UPDATE (failures) ON payments.code_failure TO xinghan_app;
GRANT UPDATE (attempts, next_attempt_at, delivered_at) ON payments.notification TO xinghan_app;
GRANT UPDATE (outcome, http_status, answer, elapsed_milliseconds) ON payments.notification_attempt TO xinghan_app;

-- Writes what a batch of payments, refunds and closings has decided: the caller holds the locks of the trades
-- that change. One call, because a round trip costs more than the rows.
CREATE FUNCTION payments.write_v1(
    p_trades jsonb, p_changed jsonb, p_refunds jsonb, p_events jsonb, p_code_uses jsonb, p_notifications jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_trades IS NOT NULL THEN
        INSERT INTO payments.trade SELECT * FROM jsonb_populate_recordset(NULL::payments.trade, p_trades);
    END IF;
    IF p_changed IS NOT NULL THEN
        UPDATE payments.trade AS t
        SET state = u.state, buyer = u.buyer, buyer_account = u.buyer_account,
            refunded_minor = u.refunded_minor, fee_returned_minor = u.fee_returned_minor,
            paid_at = u.paid_at, refundable_until = u.refundable_until, closed_at = u.closed_at
        FROM jsonb_populate_recordset(NULL::payments.trade, p_changed) AS u
        WHERE t.bucket = u.bucket AND t.id = u.id;
    END IF;
    IF p_refunds IS NOT NULL THEN
        INSERT INTO payments.refund SELECT * FROM jsonb_populate_recordset(NULL::payments.refund, p_refunds);
    END IF;
    IF p_code_uses IS NOT NULL THEN
        INSERT INTO payments.code_use SELECT * FROM jsonb_populate_recordset(NULL::payments.code_use, p_code_uses);
    END IF;
    IF p_events IS NOT NULL THEN
        INSERT INTO payments.event SELECT * FROM jsonb_populate_recordset(NULL::payments.event, p_events);
    END IF;
    IF p_notifications IS NOT NULL THEN
        INSERT INTO payments.notification
        SELECT * FROM jsonb_populate_recordset(NULL::payments.notification, p_notifications);
    END IF;
END $$;
