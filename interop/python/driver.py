"""Drives stomp.py: see interop/driver.ts for the requests that come as JSON lines."""

import base64
import json
import queue
import sys
import threading
import time
import uuid

import stomp

CONNECTIONS = {"1.0": stomp.StompConnection10, "1.1": stomp.StompConnection11, "1.2": stomp.StompConnection12}
RECEIPT_SECONDS_MAX = 15


class Listener(stomp.ConnectionListener):
    """What stomp.py calls, on its own thread, for one connection."""

    def __init__(self, owner):
        self.owner = owner
        self.is_open = False

    def on_connected(self, frame):
        with self.owner.changed:
            self.owner.told = {"version": frame.headers.get("version", "1.0"), "server": frame.headers.get("server", "")}
            self.owner.changed.notify_all()

    def on_message(self, frame):
        self.owner.messages[frame.headers.get("subscription")].put(frame)

    def on_receipt(self, frame):
        with self.owner.changed:
            self.owner.receipts.add(frame.headers["receipt-id"])
            self.owner.changed.notify_all()

    def on_error(self, frame):
        with self.owner.changed:
            self.owner.error = frame.headers.get("message", "")
            self.owner.changed.notify_all()

    def on_disconnected(self):
        if self.is_open:
            self.is_open = False
            self.owner.lost()


class Connection:
    def __init__(self, request):
        self.request = request
        self.version = request["version"]
        self.messages = {}
        self.subscriptions = {}
        self.receipts = set()
        self.error = None
        self.told = None
        self.times_connected = 0
        self.is_lost = False
        self.is_closing = False
        self.changed = threading.Condition()
        self.dial()

    def dial(self):
        request = self.request
        options = {"host_and_ports": [("127.0.0.1", request["port"])], "auto_decode": False}
        if self.version != "1.0":
            options.update(heartbeats=tuple(request.get("beats", (0, 0))), vhost="localhost")
        connection = CONNECTIONS[self.version](**options)
        listener = Listener(self)
        connection.set_listener("driver", listener)
        connection.connect(wait=True, headers={"client-id": request["clientId"]} if "clientId" in request else {})
        # stomp.py ends its own wait before it calls this listener.
        self.wait(lambda: self.told is not None, RECEIPT_SECONDS_MAX)
        self.stomp = connection
        for arguments in self.subscriptions.values():
            connection.subscribe(**arguments)
        with self.changed:
            self.error = None
            self.is_lost = False
            self.times_connected += 1
            self.changed.notify_all()
        listener.is_open = True

    def lost(self):
        with self.changed:
            self.is_lost = True
            self.changed.notify_all()
        while self.request.get("reconnects", False) and not self.is_closing:
            try:
                return self.dial()
            except (stomp.exception.StompException, OSError):
                time.sleep(0.2)

    # What the driver asks for.

    def wait(self, holds, seconds):
        with self.changed:
            self.changed.wait_for(holds, seconds)
            return holds()

    def confirmed(self, call):
        """Calls with a new receipt id and waits for that receipt."""
        receipt = str(uuid.uuid4())
        call(receipt)
        self.wait(lambda: receipt in self.receipts or self.error is not None or self.is_lost, RECEIPT_SECONDS_MAX)
        if receipt not in self.receipts:
            raise RuntimeError("no receipt" if self.error is None else "ERROR frame: " + self.error)

    def send(self, request):
        headers = dict(request["headers"])
        if "transaction" in request:
            headers["transaction"] = request["transaction"]
        body = request["text"] if "text" in request else base64.b64decode(request["bytes"])
        self.confirmed(lambda receipt: self.stomp.send(request["destination"], body, headers={**headers, "receipt": receipt}))

    def subscribe(self, request):
        key = request["subscription"]
        arguments = {"destination": request["destination"], "id": key, "ack": request["ack"], "headers": request["headers"]}
        self.messages[key] = queue.Queue()
        self.subscriptions[key] = arguments
        self.confirmed(
            lambda receipt: self.stomp.subscribe(**{**arguments, "headers": {**request["headers"], "receipt": receipt}})
        )

    def unsubscribe(self, request):
        key = request["subscription"]
        del self.subscriptions[key]
        self.confirmed(lambda receipt: self.stomp.unsubscribe(id=key, headers={**request["headers"], "receipt": receipt}))

    def settle(self, call, frame, request):
        names = {"transaction": request.get("transaction")}
        if self.version == "1.2":
            arguments = [frame.headers["ack"]]
        elif self.version == "1.1":
            arguments = [frame.headers["message-id"], frame.headers["subscription"]]
        else:
            arguments = [frame.headers["message-id"]]
        self.confirmed(lambda receipt: call(*arguments, receipt=receipt, **names))

    def close(self):
        self.is_closing = True
        self.stomp.disconnect(receipt=str(uuid.uuid4()))

    def cut(self):
        self.is_closing = True
        self.stomp.transport.disconnect_socket()


class Driver:
    def __init__(self):
        self.connections = {}
        self.frames = []

    def answer(self, request):
        op = request["op"]
        if op == "open":
            connection = Connection(request)
            self.connections[request["connection"]] = connection
            return connection.told
        if op == "reset":
            for connection in self.connections.values():
                connection.cut()
            self.connections = {}
            return None
        connection = self.connections[request["connection"]]
        if op == "receive":
            return self.receive(connection, request)
        if op == "ack":
            return connection.settle(connection.stomp.ack, self.frames[request["number"]], request)
        if op == "nack":
            return connection.settle(connection.stomp.nack, self.frames[request["number"]], request)
        if op == "begin":
            connection.stomp.begin(request["transaction"])
            return None
        if op in ("commit", "abort"):
            end = getattr(connection.stomp, op)
            return connection.confirmed(lambda receipt: end(request["transaction"], headers={"receipt": receipt}))
        if op == "error":
            connection.wait(lambda: connection.error is not None, request["ms"] / 1000)
            return connection.error
        if op == "lost":
            return connection.wait(lambda: connection.is_lost, request["ms"] / 1000)
        if op == "reconnected":
            return connection.wait(lambda: connection.times_connected > 1, request["ms"] / 1000)
        if op in ("close", "cut"):
            return getattr(connection, op)()
        return getattr(connection, op)(request)

    def receive(self, connection, request):
        try:
            frame = connection.messages[request["subscription"]].get(timeout=request["ms"] / 1000)
        except queue.Empty:
            return None
        self.frames.append(frame)
        body = base64.b64encode(frame.body).decode()
        return {"number": len(self.frames) - 1, "headers": frame.headers, "body": body}


driver = Driver()
for line in sys.stdin:
    message = json.loads(line)
    try:
        reply = {"ok": driver.answer(message)}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"id": message["id"], **reply}), flush=True)
