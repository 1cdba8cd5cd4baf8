"""The fuzzer of the project: ``make fuzz``, or ``python -m tests.fuzz``. How it works is told in ``docs/internals.md``."""
