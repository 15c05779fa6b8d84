"""PostgreSQL servers: their engines, the errors that pass, and transactions whose answer was lost."""
