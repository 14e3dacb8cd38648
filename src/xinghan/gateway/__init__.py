"""The Alipay-compatible open gateway: signed requests in, signed answers and notifications out."""
