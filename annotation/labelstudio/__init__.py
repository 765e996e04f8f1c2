"""Label Studio: the only part of Waver that knows it.

`process` says how to start the guarded server, `client` talks to it as Waver's service account,
`server/` is what runs inside it (in another environment; nothing there imports waver).
"""
