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
