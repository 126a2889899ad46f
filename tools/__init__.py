"""Programs for those who change this project. Imports nothing."""
