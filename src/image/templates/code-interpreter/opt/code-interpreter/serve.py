"""Starts the code interpreter: E2B's protocol on port 49999, real Jupyter kernels behind it."""
import asyncio

from casemate_interpreter.server import serve

asyncio.run(serve(port=49999))
