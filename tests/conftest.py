"""Settings of all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# Fixed examples and no time limit on one: a busy machine must not turn a test red.
settings.register_profile("voidimg", deadline=None, derandomize=True, database=None)
settings.load_profile("voidimg")

# A shell's background jobs, such as a CI's, are born with SIGINT ignored, and so would be the
# programs that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
