"""What surrounds the functions: the topology and the tools that read it. No function imports this."""
