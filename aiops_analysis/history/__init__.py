"""The Parquet history: written once, read as dense matrices. This floor never asks a server and never computes a statistic."""
