"""What decentralised MLS adds to RFC 9420: puncturable init secrets, signed links, epoch graph, head, what to do about it.

Pure functions of public facts, apart from `pprf`, which is the one module here that handles secrets.
"""
