"""HTTP/1.1 over unix sockets and TCP: a server that can be hijacked, and a small client."""
