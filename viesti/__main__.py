"""``python -m viesti`` is the ``viesti`` command."""

from viesti.cli import main

main()
