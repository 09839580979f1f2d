# A device on the AMQP stack that Microsoft's SDK in C stands on:
#   device.py CONNECTION-STRING ROOTS plain|cbs
# sends three messages, receives a command and completes it, and prints it. Then
#   device.py CONNECTION-STRING-OF-EVENT-HUB ROOTS events PARTITION COUNT
# reads events and prints their bodies.
import base64
import hashlib
import hmac
import sys
import time
import urllib.parse

import uamqp
from uamqp import address, authentication, constants


def token(resource, key):
    expires = int(time.time()) + 3600
    resource = urllib.parse.quote(resource, safe="")
    mac = hmac.new(base64.b64decode(key), f"{resource}\n{expires}".encode(), hashlib.sha256)
    signature = urllib.parse.quote(base64.b64encode(mac.digest()), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expires}"


def device(at, roots, login):
    gateway, hub, name = at["GatewayHostName"], at["HostName"], at["DeviceId"]
    audience = f"{hub}/devices/{name}"
    text = token(audience, at["SharedAccessKey"])

    def auth():
        if login == "plain":
            return authentication.SASLPlain(gateway, f"{name}@sas.{hub}", text, verify=roots)
        return authentication.SASTokenAuth(
            audience=audience, uri=f"amqps://{gateway}/devices/{name}", token=text, username=name, password=text,
            token_type=b"servicebus.windows.net:sastoken", expires_at=int(time.time()) + 3600, verify=roots)

    sender = uamqp.SendClient(address.Target(f"amqps://{gateway}/devices/{name}/messages/events"), auth=auth())
    sender.queue_message(*[uamqp.Message(f"{login} {n}".encode()) for n in range(3)])
    if set(sender.send_all_messages()) != {constants.MessageState.SendComplete}:
        sys.exit("not all was sent")
    sender.close()
    receiver = uamqp.ReceiveClient(
        address.Source(f"amqps://{gateway}/devices/{name}/messages/devicebound"), auth=auth(), auto_complete=False)
    for command in receiver.receive_message_batch(max_batch_size=1, timeout=30000):
        command.accept()
        print(str(command))
    receiver.close()


def events(at, roots, partition, count):
    host, hub = at["Endpoint"].removeprefix("sb://").strip("/").split(":")[0], at["EntityPath"]
    source = address.Source(f"amqps://{host}/{hub}/ConsumerGroups/$Default/Partitions/{partition}")
    source.set_filter(b"amqp.annotation.x-opt-offset > '-1'")
    auth = authentication.SASTokenAuth.from_shared_access_key(
        f"sb://{host}/{hub}", at["SharedAccessKeyName"], at["SharedAccessKey"], verify=roots)
    receiver = uamqp.ReceiveClient(source, auth=auth, prefetch=100)
    while count > 0:
        for event in receiver.receive_message_batch(timeout=30000):
            print(b"".join(event.get_data()).decode())
            count -= 1
    receiver.close()


at = dict(part.split("=", 1) for part in sys.argv[1].split(";"))
if sys.argv[3] == "events":
    events(at, sys.argv[2], sys.argv[4], int(sys.argv[5]))
else:
    device(at, sys.argv[2], sys.argv[3])
