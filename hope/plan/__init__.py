"""Estimates of what a study needs, before anything runs: parameters, FLOPs, memory, disk and hours.

All estimates follow from the config alone and need no numerical library; they take well under a second.
"""
