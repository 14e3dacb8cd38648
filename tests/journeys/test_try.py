async def test_it(scene, client):
    shop = await scene.shop(); lin = await scene.payer()
    made = await shop.call(client, "alipay.trade.precreate", out_trade_no="T1", subject="红茶", total_amount="88.00")
    print(made)
    paid = await shop.call(client, "alipay.trade.pay", out_trade_no="T2", subject="红茶", total_amount="88.00", auth_code=lin.code(), scene="bar_code")
    print(paid)
    print(await shop.call(client, "alipay.trade.query", out_trade_no="T2"))
    print(await shop.call(client, "alipay.trade.refund", out_trade_no="T2", refund_amount="8", out_request_no="R1"))
    print(await shop.call(client, "alipay.trade.fastpay.refund.query", out_trade_no="T2", out_request_no="R1"))
    print(await shop.call(client, "alipay.trade.cancel", out_trade_no="T2"))
    print(await scene.balances(shop, lin))
    await scene.books.check()
    assert 0
