"""What is exported is compared with Keras before it is published.

Imports nothing else of `export` but what describes a variant.
"""
