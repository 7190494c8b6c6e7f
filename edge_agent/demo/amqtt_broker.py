"""``python -m edge_agent.demo.amqtt_broker PORT``: an anonymous amqtt broker on loopback."""

from __future__ import annotations

import asyncio
import signal
import sys


async def serve(port: int) -> None:
    """Run until SIGTERM or SIGINT."""
    from amqtt.broker import Broker

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
