"""What is exported is compared with Keras before it is published.

Imports `run_exported` and `variants` of `export`.
"""
