"""How the platform gets onto an engine: what is packed, what is planned, what is asked for."""
