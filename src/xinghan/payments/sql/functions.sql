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
