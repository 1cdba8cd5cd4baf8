"""What formats, built-in ones and those of other packages, are made of: chunk manifests, arrays, tables, files, and their registry.

This package is the interface for plug-ins: the names in ``__all__`` of its modules change only with a deprecation. It imports NumPy only.
"""
