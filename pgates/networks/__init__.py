"""Networks with gates, by name, and the weights of others for them.

Imports `layers`, `costs`, `training`, `residuals` and files of models.
"""
