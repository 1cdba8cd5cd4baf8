"""Sound files of many kinds, as small as may be, for the mutators: ``python -m tests.fuzz.make_seeds`` writes tests/fuzz/seeds.zip.

They are kept in the repository, since encoders of other versions make other bytes, and the mutants would not be the same everywhere.
"""
