"""The machine that this runs on: its cores, memory, devices, processes and files."""
