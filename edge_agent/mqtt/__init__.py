"""The broker connection. The only user of paho.

``link`` is one connection from CONNECT to its end, with a paho client of its own; ``broker`` keeps
one up for ever; ``delivery`` is what became of a publish.
"""

from edge_agent.mqtt.broker import Broker, BrokerStatus, FilterMemory
from edge_agent.mqtt.delivery import Delivery

__all__ = ["Broker", "BrokerStatus", "Delivery", "FilterMemory"]
