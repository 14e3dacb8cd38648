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
