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
