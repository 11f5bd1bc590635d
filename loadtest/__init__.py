"""Load on a whole mesh: business actors, what they were answered, and whether it may be called
good. Only people and the `holdfast` command use it; nothing that runs a mesh imports it.
"""
