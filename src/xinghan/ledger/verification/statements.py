"""What must hold in the books: for each check a statement with a row for each thing that is wrong.

All give the same columns: what, part, bucket, account, posting, leg, version, expected, found.
"""

from typing import Final

# Both sides of every row of the journal, as their accounts must have seen them.
_SIDES: Final = """
    SELECT debit_bucket AS bucket, debit_account AS account, debit_version AS version,
        true AS is_debit, bucket AS posting_bucket, id AS posting, leg, created_at, event_at,
        CASE WHEN kind IN (1, 3, 6) THEN -amount ELSE 0 END AS change,
        CASE WHEN kind = 2 THEN amount WHEN kind BETWEEN 3 AND 5 THEN -amount ELSE 0 END AS pending
    FROM ledger.posting
    UNION ALL
    SELECT credit_bucket, credit_account, credit_version, false,
        bucket, id, leg, created_at, event_at,
        CASE WHEN kind IN (1, 3, 6) THEN amount ELSE 0 END,
        CASE WHEN kind = 2 THEN amount WHEN kind BETWEEN 3 AND 5 THEN -amount ELSE 0 END
    FROM ledger.posting
"""

# Each side is summed by itself first: adding up a million rows costs less than joining them.
BALANCES: Final = """
    WITH moved AS (
        SELECT debit_bucket AS bucket, debit_account AS account,
            sum(amount) FILTER (WHERE kind IN (1, 3, 6)) AS debits_posted,
            NULL::numeric AS credits_posted,
            sum(CASE WHEN kind = 2 THEN amount ELSE -amount END)
                FILTER (WHERE kind BETWEEN 2 AND 5) AS debits_pending,
            NULL::numeric AS credits_pending, count(*) AS version
        FROM ledger.posting
        GROUP BY debit_bucket, debit_account
        UNION ALL
        SELECT credit_bucket, credit_account,
            NULL, sum(amount) FILTER (WHERE kind IN (1, 3, 6)),
            NULL, sum(CASE WHEN kind = 2 THEN amount ELSE -amount END)
                FILTER (WHERE kind BETWEEN 2 AND 5),
            count(*)
        FROM ledger.posting
        GROUP BY credit_bucket, credit_account
    ), journal AS (
        SELECT bucket, account,
            sum(debits_posted) AS debits_posted, sum(credits_posted) AS credits_posted,
            sum(debits_pending) AS debits_pending, sum(credits_pending) AS credits_pending,
            sum(version) AS version
        FROM moved
        GROUP BY bucket, account
    )
    SELECT CASE WHEN a.id IS NULL THEN 'account_missing' ELSE 'counter_differs' END AS what,
        d.part, coalesce(a.bucket, j.bucket) AS bucket, coalesce(a.id, j.account) AS account,
        NULL::uuid AS posting, NULL::smallint AS leg, NULL::bigint AS version,
        to_jsonb(d.expected) AS expected, to_jsonb(d.found) AS found
    FROM journal AS j
    FULL JOIN ledger.account AS a ON a.bucket = j.bucket AND a.id = j.account
    CROSS JOIN LATERAL (
        VALUES
        ('debits_posted', coalesce(j.debits_posted, 0), a.debits_posted),
        ('credits_posted', coalesce(j.credits_posted, 0), a.credits_posted),
        ('debits_pending', coalesce(j.debits_pending, 0), a.debits_pending),
        ('credits_pending', coalesce(j.credits_pending, 0), a.credits_pending),
        ('version', coalesce(j.version, 0), a.version)
    ) AS d (part, expected, found)
    WHERE d.expected IS DISTINCT FROM d.found AND (a.id IS NOT NULL OR d.part = 'version')
"""

# `part` is the currency's number of ISO 4217, expected the debits, found the credits.
TRIAL_BALANCE: Final = """
    SELECT d.what, t.currency::text AS part, NULL::smallint AS bucket, NULL::bigint AS account,
        NULL::uuid AS posting, NULL::smallint AS leg, NULL::bigint AS version,
        to_jsonb(d.debits) AS expected, to_jsonb(d.credits) AS found
    FROM (
        SELECT id >> 8 & 1023 AS currency,
            sum(debits_posted) AS debits_posted, sum(credits_posted) AS credits_posted,
            sum(debits_pending) AS debits_pending, sum(credits_pending) AS credits_pending
        FROM ledger.account
        GROUP BY id >> 8 & 1023
    ) AS t
    CROSS JOIN LATERAL (
        VALUES
        ('posted_totals_differ', t.debits_posted, t.credits_posted),
        ('pending_totals_differ', t.debits_pending, t.credits_pending)
    ) AS d (what, debits, credits)
    WHERE d.debits <> d.credits
"""

LIMITS: Final = """
    SELECT d.what, NULL AS part, a.bucket, a.id AS account, NULL::uuid AS posting,
        NULL::smallint AS leg, NULL::bigint AS version,
        to_jsonb(d.bound) AS expected, to_jsonb(d.kept) AS found
    FROM ledger.account AS a
    CROSS JOIN LATERAL (
        VALUES
        (
            'below_floor', a.floor_minor,
            CASE WHEN a.debit_normal
                THEN a.debits_posted - a.credits_posted - a.credits_pending
                ELSE a.credits_posted - a.debits_posted - a.debits_pending
            END
        ),
        (
            'above_ceiling', a.ceiling_minor,
            CASE WHEN a.debit_normal
                THEN a.debits_posted - a.credits_posted + a.debits_pending
                ELSE a.credits_posted - a.debits_posted + a.credits_pending
            END
        )
    ) AS d (what, bound, kept)
    WHERE (d.what = 'below_floor' AND d.kept < d.bound)
        OR (d.what = 'above_ceiling' AND d.kept > d.bound)
"""

POSTINGS: Final = """
    SELECT 'posting_invalid' AS what,
        CASE
            WHEN p.amount NOT BETWEEN 1 AND 1000000000000000 THEN 'amount'
            WHEN ((p.debit_account # p.credit_account) & 261888) <> 0 THEN 'currency'
            WHEN p.kind NOT BETWEEN 1 AND 6 THEN 'kind'
            WHEN (p.kind >= 3) <> (p.refers_to IS NOT NULL) THEN 'refers_to'
            WHEN p.debit_account = p.credit_account AND p.debit_bucket = p.credit_bucket
                THEN 'accounts'
            ELSE 'bucket'
        END AS part,
        p.bucket, NULL::bigint AS account, p.id AS posting, p.leg, NULL::bigint AS version,
        NULL::jsonb AS expected,
        jsonb_build_object(
            'amount', p.amount, 'kind', p.kind, 'refers_to', p.refers_to,
            'debit', p.debit_account, 'debit_bucket', p.debit_bucket,
            'credit', p.credit_account, 'credit_bucket', p.credit_bucket
        ) AS found
    FROM ledger.posting AS p
    WHERE p.amount NOT BETWEEN 1 AND 1000000000000000
        OR ((p.debit_account # p.credit_account) & 261888) <> 0
        OR p.kind NOT BETWEEN 1 AND 6
        OR (p.kind >= 3) <> (p.refers_to IS NOT NULL)
        OR (p.debit_account = p.credit_account AND p.debit_bucket = p.credit_bucket)
        OR ((p.debit_account & 255) <> p.debit_bucket AND (p.debit_account & 255) <> 255)
        OR ((p.credit_account & 255) <> p.credit_bucket AND (p.credit_account & 255) <> 255)
"""

# For the accounts of buckets $1 to $2. Only a row of a hold asks for its account's normal side: few
# do, and the rest need no join.
ENTRIES: Final = f"""
    WITH side AS (
        SELECT * FROM ({_SIDES}) AS both_sides WHERE bucket BETWEEN $1 AND $2
    ), entry AS (
        SELECT e.*, row_number() OVER history AS place,
            lag(e.balance_after, 1, 0::bigint) OVER history AS balance_before,
            lag(e.held_after, 1, 0::bigint) OVER history AS held_before,
            lag(e.created_at) OVER history AS created_before
        FROM ledger.entry AS e
        WHERE e.bucket BETWEEN $1 AND $2
        WINDOW history AS (PARTITION BY e.bucket, e.account ORDER BY e.version)
    ), wrong AS (
        SELECT coalesce(e.bucket, s.bucket) AS bucket, coalesce(e.account, s.account) AS account,
            coalesce(e.version, s.version) AS version, coalesce(s.posting, e.posting) AS posting,
            coalesce(s.leg, e.leg) AS leg,
            e.version IS NULL AS is_missing, s.version IS NULL AS is_extra,
            s.posting_bucket AS s_bucket, s.posting AS s_posting, s.leg AS s_leg,
            s.change AS s_change, s.created_at AS s_created_at, s.event_at AS s_event_at,
            s.pending, s.is_debit,
            e.posting_bucket, e.posting AS e_posting, e.leg AS e_leg, e.change, e.created_at,
            e.event_at, e.place, e.balance_before, e.balance_after, e.held_before, e.held_after,
            e.created_before
        FROM entry AS e
        FULL JOIN side AS s
            ON s.bucket = e.bucket AND s.account = e.account AND s.version = e.version
        WHERE e.place IS DISTINCT FROM e.version
            OR s.posting IS DISTINCT FROM e.posting
            OR s.leg IS DISTINCT FROM e.leg
            OR s.posting_bucket IS DISTINCT FROM e.posting_bucket
            OR s.change IS DISTINCT FROM e.change
            OR s.created_at IS DISTINCT FROM e.created_at
            OR s.event_at IS DISTINCT FROM e.event_at
            OR e.balance_before + e.change IS DISTINCT FROM e.balance_after
            OR e.created_at < e.created_before
            OR e.held_after - e.held_before IS DISTINCT FROM CASE WHEN s.pending = 0 THEN 0 ELSE (
                SELECT CASE WHEN a.debit_normal <> s.is_debit THEN s.pending ELSE 0 END
                FROM ledger.account AS a WHERE a.bucket = s.bucket AND a.id = s.account
            ) END
    )
    SELECT d.what, d.part, w.bucket, w.account, w.posting, w.leg, w.version, d.expected, d.found
    FROM wrong AS w
    LEFT JOIN ledger.account AS a ON a.bucket = w.bucket AND a.id = w.account
    CROSS JOIN LATERAL (
        VALUES
        ('entry_missing', NULL, NULL::jsonb, NULL::jsonb, w.is_missing),
        ('entry_extra', NULL, NULL, NULL, w.is_extra),
        ('version_gap', NULL, to_jsonb(w.place), to_jsonb(w.version), w.place <> w.version),
        (
            'entry_differs', 'posting_bucket', to_jsonb(w.s_bucket), to_jsonb(w.posting_bucket),
            w.s_bucket <> w.posting_bucket
        ),
        (
            'entry_differs', 'posting', to_jsonb(w.s_posting), to_jsonb(w.e_posting),
            w.s_posting <> w.e_posting
        ),
        ('entry_differs', 'leg', to_jsonb(w.s_leg), to_jsonb(w.e_leg), w.s_leg <> w.e_leg),
        (
            'entry_differs', 'change', to_jsonb(w.s_change), to_jsonb(w.change),
            w.s_change <> w.change
        ),
        (
            'entry_differs', 'created_at', to_jsonb(w.s_created_at), to_jsonb(w.created_at),
            w.s_created_at <> w.created_at
        ),
        (
            'entry_differs', 'event_at', to_jsonb(w.s_event_at), to_jsonb(w.event_at),
            w.s_event_at IS DISTINCT FROM w.event_at AND NOT w.is_missing AND NOT w.is_extra
        ),
        (
            'entry_differs', 'balance_after',
            to_jsonb(w.balance_before + w.change), to_jsonb(w.balance_after),
            w.balance_before + w.change <> w.balance_after
        ),
        (
            'entry_differs', 'held_after',
            to_jsonb(
                w.held_before
                + CASE WHEN a.debit_normal <> w.is_debit THEN w.pending ELSE 0 END
            ),
            to_jsonb(w.held_after),
            w.held_after - w.held_before
            <> CASE WHEN a.debit_normal <> w.is_debit THEN w.pending ELSE 0 END
            AND NOT w.is_missing AND NOT w.is_extra
        ),
        (
            'time_runs_back', 'created_at', to_jsonb(w.created_before), to_jsonb(w.created_at),
            w.created_at < w.created_before
        )
    ) AS d (what, part, expected, found, is_so)
    WHERE d.is_so
"""  # noqa: S608 (a constant)

HOLDS: Final = """
    WITH taken AS (
        SELECT bucket, refers_to AS id, leg,
            coalesce(sum(amount) FILTER (WHERE kind = 3), 0) AS captured,
            coalesce(sum(amount) FILTER (WHERE kind IN (4, 5)), 0) AS released
        FROM ledger.posting
        WHERE kind BETWEEN 3 AND 5
        GROUP BY bucket, refers_to, leg
    ), posted AS (
        SELECT p.*, coalesce(t.captured, 0) AS captured, coalesce(t.released, 0) AS released
        FROM ledger.posting AS p
        LEFT JOIN taken AS t ON t.bucket = p.bucket AND t.id = p.id AND t.leg = p.leg
        WHERE p.kind = 2
    ), kept AS (
        SELECT s.bucket, s.account, sum(s.debits) AS debits, sum(s.credits) AS credits
        FROM ledger.hold AS h
        CROSS JOIN LATERAL (
            VALUES
            (h.debit_bucket, h.debit_account, h.amount - h.captured - h.released, 0),
            (h.credit_bucket, h.credit_account, 0, h.amount - h.captured - h.released)
        ) AS s (bucket, account, debits, credits)
        WHERE h.captured + h.released <> h.amount
        GROUP BY s.bucket, s.account
    )
    SELECT
        CASE
            WHEN h.id IS NULL THEN 'hold_missing' WHEN p.id IS NULL THEN 'hold_extra'
            ELSE 'hold_differs'
        END AS what,
        d.part, coalesce(p.bucket, h.bucket) AS bucket, NULL::bigint AS account,
        coalesce(p.id, h.id) AS posting, coalesce(p.leg, h.leg) AS leg, NULL::bigint AS version,
        to_jsonb(d.expected) AS expected, to_jsonb(d.found) AS found
    FROM posted AS p
    FULL JOIN ledger.hold AS h ON h.bucket = p.bucket AND h.id = p.id AND h.leg = p.leg
    CROSS JOIN LATERAL (
        VALUES
        ('amount', p.amount, h.amount),
        ('captured', p.captured, h.captured),
        ('released', p.released, h.released),
        ('debit_bucket', p.debit_bucket, h.debit_bucket),
        ('debit_account', p.debit_account, h.debit_account),
        ('credit_bucket', p.credit_bucket, h.credit_bucket),
        ('credit_account', p.credit_account, h.credit_account)
    ) AS d (part, expected, found)
    WHERE d.expected IS DISTINCT FROM d.found
        AND (d.part = 'amount' OR (p.id IS NOT NULL AND h.id IS NOT NULL))
    UNION ALL
    SELECT 'hold_exceeded', 'amount', h.bucket, NULL, h.id, h.leg, NULL,
        to_jsonb(h.amount), to_jsonb(h.captured + h.released)
    FROM ledger.hold AS h
    WHERE h.captured + h.released > h.amount
    UNION ALL
    SELECT 'pending_differs', d.part, coalesce(a.bucket, k.bucket), coalesce(a.id, k.account),
        NULL, NULL, NULL, to_jsonb(d.expected), to_jsonb(d.found)
    FROM ledger.account AS a
    FULL JOIN kept AS k ON k.bucket = a.bucket AND k.account = a.id
    CROSS JOIN LATERAL (
        VALUES
        ('debits_pending', coalesce(k.debits, 0), a.debits_pending),
        ('credits_pending', coalesce(k.credits, 0), a.credits_pending)
    ) AS d (part, expected, found)
    WHERE d.expected IS DISTINCT FROM d.found
"""

REFERENCES: Final = """
    SELECT CASE WHEN p.kind = 6 THEN 'reversal_wrong' ELSE 'refers_to_no_hold' END AS what,
        NULL AS part, p.bucket, NULL::bigint AS account, p.id AS posting, p.leg,
        NULL::bigint AS version, to_jsonb(p.refers_to) AS expected,
        CASE WHEN o.id IS NOT NULL THEN jsonb_build_object(
            'kind', o.kind, 'amount', o.amount, 'debit', o.debit_account, 'credit', o.credit_account
        ) END AS found
    FROM ledger.posting AS p
    LEFT JOIN ledger.posting AS o ON o.bucket = p.bucket AND o.id = p.refers_to AND o.leg = p.leg
    WHERE p.kind >= 3 AND NOT coalesce(
        CASE WHEN p.kind = 6
            THEN o.kind = 1 AND o.amount = p.amount
                AND (o.debit_bucket, o.debit_account) = (p.credit_bucket, p.credit_account)
                AND (o.credit_bucket, o.credit_account) = (p.debit_bucket, p.debit_account)
            ELSE o.kind = 2
                AND (o.debit_bucket, o.debit_account) = (p.debit_bucket, p.debit_account)
                AND (o.credit_bucket, o.credit_account) = (p.credit_bucket, p.credit_account)
        END, false
    )
    UNION ALL
    SELECT 'reversed_in_part', NULL, r.bucket, NULL, r.id, NULL, NULL,
        to_jsonb(count(o.leg)), to_jsonb(r.legs)
    FROM (
        SELECT bucket, id, refers_to, count(*) AS legs
        FROM ledger.posting WHERE kind = 6 GROUP BY bucket, id, refers_to
    ) AS r
    LEFT JOIN ledger.posting AS o ON o.bucket = r.bucket AND o.id = r.refers_to
    GROUP BY r.bucket, r.id, r.legs
    HAVING count(o.leg) <> r.legs
    UNION ALL
    SELECT 'reversed_twice', NULL, bucket, NULL, refers_to, leg, NULL,
        to_jsonb(1), to_jsonb(count(*))
    FROM ledger.posting
    WHERE kind = 6
    GROUP BY bucket, refers_to, leg
    HAVING count(*) > 1
"""

# Every check but that of the entries, which is done in slices.
CHECKS: Final = {
    "postings": POSTINGS,
    "balances": BALANCES,
    "trial_balance": TRIAL_BALANCE,
    "limits": LIMITS,
    "holds": HOLDS,
    "references": REFERENCES,
}
