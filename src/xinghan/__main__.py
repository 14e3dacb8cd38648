"""Lets `python -m xinghan` run the command line."""

from xinghan.cli import main

main()
