"""Load on a whole mesh. `load_*`: business actors, what they were answered, and whether it may be
called good. All else: how fast it authorizes, what that costs, and what it is compared with. Only
people and the `holdfast` command use it; nothing that runs a mesh imports it.
"""
