"""Which gates of a network pay for themselves, and which are decided for good.

Imports of ours only `export.transforms`, `export.saved_model`, `export.tflite`
and what `export` may import.
"""
