"""The server's side of TDS: connections, requests, rows."""
