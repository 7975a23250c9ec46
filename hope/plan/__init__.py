"""What a study will take, told before anything runs: parameters, FLOPs, memory, disk and hours.

Everything is reckoned from the config alone, with the standard library, in well under a second.
"""
