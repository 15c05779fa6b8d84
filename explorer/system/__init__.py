"""The machine: its cores, memory, devices, processes and files."""
