"""edge-agent: the diagnostic agent for factory gateways.

The journey of one message, as the folders read:

    MQTT ─ decode ─ detect ─ [jobs] ─ diagnose (govern, inference) ─ [outbox] ─ publish ─ MQTT

1. ``mqtt`` receives bytes; its callback only puts them into a bounded ``inbox``.
2. ``intake`` takes them in batches; ``decode`` turns each into ``Reading`` values or raises
   ``BadPayload``, and ``detect`` compares them with what the machine normally does.
3. A machine that leaves its normal opens an incident: a ``Finding``. In one transaction the
   ``store`` keeps the incident's message for the broker and a ``Job`` for the model.
   Only then is the telemetry acknowledged.
4. ``diagnose`` claims the job, asks ``govern`` whether power, memory and heat allow it, lets the
   rules rank the card's faults and the model, in its own process behind ``inference``, word the
   result; code checks every claim.
5. The ``Diagnosis``, its outgoing message and the ``audit`` record of all that it was made from are
   committed together; ``publish`` sends the message and deletes it once the broker has
   acknowledged it.

Two more ways lead to a job: an operator's command (``operations``), and ``rounds``, which looks at
quiet machines by the clock and sums up shifts.

``rollout`` carries settings and models the other way: desired in, reported out; ``models`` says
which of them answers. The nouns that all of them speak in are in ``domain``.
``agent`` puts it all together, and is the only place that does.
"""

__version__ = "0.1.0"
