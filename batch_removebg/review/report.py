"""The page as a folder of files, read-only, that opens without a server."""
