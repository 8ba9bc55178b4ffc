"""HTTP/1.1 on sockets: connections, requests, answers, and the bridge to the ASGI application."""
