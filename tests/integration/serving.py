"""Serves an ASGI application on a socket that listens already, inside the test's own loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI


@contextlib.asynccontextmanager
async def served(app: FastAPI, listening: socket.socket) -> AsyncIterator[None]:
    """Serve until the end of the block."""
    config = uvicorn.Config(app, http="httptools", lifespan="off", ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
