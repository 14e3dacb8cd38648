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
