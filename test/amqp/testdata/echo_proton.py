# Sends messages to an AMQP server with Qpid Proton, receives them again, and
# prints one line for each step. Usage: echo_proton.py PORT
import sys
import uuid

from proton import Message, ulong, symbol, timestamp, int32, byte, ubyte, char, decimal64, Described, Array, Data, UNDESCRIBED
from proton.utils import BlockingConnection, LinkDetached, SendException
from proton.reactor import AtMostOnce

bodies = {
    "null": None, "true": True, "ulong": ulong(7), "long": -5, "int": int32(-7), "byte": byte(-3), "ubyte": ubyte(3), "double": 1.5,
    "char": char("ü"), "timestamp": timestamp(1700000000123), "uuid": uuid.UUID(int=7), "binary": b"\x00\xff", "string": "grüße",
    "symbol": symbol("a:b"), "list": [1, "x", [True]], "map": {"a": 1, "b": None}, "decimal64": decimal64(12345),
    "described": Described(symbol("x:y"), "v"), "array": Array(UNDESCRIBED, Data.INT, 1, 2, 3), "one byte": b"x", "large": "x" * 900000,
}


def main(port):
    c = BlockingConnection("amqp://ada:lovelace@127.0.0.1:%s" % port, timeout=10, heartbeat=2, allowed_mechs="PLAIN")
    snd = c.create_sender("q")
    rcv = c.create_receiver("q", credit=1)
    for name, body in bodies.items():
        snd.send(Message(id=name, body=body, properties={"a": int32(1), "b": "two"}, annotations={symbol("x-opt-t"): name}, durable=True, priority=7, ttl=60))
        m = rcv.receive()
        rcv.accept()
        assert (m.id, m.properties, m.annotations, m.durable, m.priority, m.ttl) == (name, {"a": 1, "b": "two"}, {"x-opt-t": name}, True, 7, 60), m
        assert m.body == body and type(m.body) is type(body) or name in ("binary", "one byte") and bytes(m.body) == body, (m.body, body)
        print(name, "same")
    try:
        snd.send(Message(subject="reject me"))
    except SendException as e:
        print("rejected", e)
    snd.send(Message(body="again"))
    rcv.receive()
    rcv.release(delivered=False)
    rcv.receive()
    rcv.release(delivered=True)
    rcv.receive()
    rcv.reject()
    c.create_sender("q", name="settled", options=AtMostOnce()).send(Message(body="settled"))
    print(rcv.receive().body)
    rcv.accept()
    try:
        c.create_sender("forbidden", name="wish")
    except LinkDetached as e:
        print("refused", e)
    print("dynamic", c.create_receiver(None, dynamic=True, name="mine").link.remote_source.address)
    c.close()
    print("closed")


main(sys.argv[1])
