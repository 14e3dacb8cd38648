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
