"""TF-Lite files: conversion, quantization, and a look at their graphs.

Imports `transforms` and `saved_model`.
"""
