"""Multiply-adds of layers and of whole models.

Imports `layers`.
"""
