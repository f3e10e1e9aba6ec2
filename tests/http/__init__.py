"""Conversations over real sockets; none needs root."""  # noqa: A005
