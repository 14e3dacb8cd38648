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
