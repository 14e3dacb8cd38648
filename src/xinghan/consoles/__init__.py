"""The pages: behind an order's code, and the operator's. Server-rendered, whole without scripts."""

from xinghan.consoles.pages import console_app

__all__ = ["console_app"]
