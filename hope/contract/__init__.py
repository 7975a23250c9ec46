"""Checks that every positional encoding must pass, the user's own class among them.

On the command line, one line per check::

    python -m hope check-encoding my_encoding:MyEncoding --settings '{"reach": 16}'

In a user's own tests, with the traceback of a failure::

    from hope.contract import CHECKS, Subject

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_my_encoding(check):
        check(Subject.of(MyEncoding, reach=16))
"""

from hope.contract.checks import CHECKS, Finding, examine
from hope.contract.subject import Broken, Subject

__all__ = ["CHECKS", "Broken", "Finding", "Subject", "examine"]
