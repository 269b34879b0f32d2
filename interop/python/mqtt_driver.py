"""Drives paho-mqtt: see interop/mqtt/driver.ts for the requests that come as JSON lines."""

import base64
import json
import queue
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

ANSWER_SECONDS_MAX = 10


class Connection:
    def __init__(self, request):
        self.is_5 = request["version"] == "5"
        self.received = queue.Queue()
        self.answers = {}
        self.opened = queue.Queue()
        self.changed = threading.Condition()
        protocol = mqtt.MQTTv5 if self.is_5 else mqtt.MQTTv311
        options = {} if self.is_5 else {"clean_session": request["clean"]}
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, request["clientId"], protocol=protocol, **options)
        client.on_connect = lambda _client, _data, flags, reason, _properties: self.opened.put((flags, reason))
        client.on_message = lambda _client, _data, message: self.received.put(message)
        client.on_subscribe = lambda _client, _data, mid, reasons, _properties: self.answered(("subscribe", mid), reasons)
        client.on_unsubscribe = lambda _client, _data, mid, reasons, _properties: self.answered(("unsubscribe", mid), reasons)
        if "will" in request:
            client.will_set(request["will"]["topic"], request["will"]["payload"], 1)
        properties = None
        if self.is_5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if request["clean"] else 60
        arguments = {"clean_start": request["clean"], "properties": properties} if self.is_5 else {}
        self.client = client
        client.connect("127.0.0.1", request["port"], keepalive=30, **arguments)
        client.loop_start()
        flags, reason = self.opened.get(timeout=ANSWER_SECONDS_MAX)
        if reason.is_failure:
            raise RuntimeError(f"CONNACK {reason}")
        self.is_present = flags.session_present

    def answered(self, key, reasons):
        with self.changed:
            self.answers[key] = reasons
            self.changed.notify_all()

    def wait_for(self, key):
        with self.changed:
            if not self.changed.wait_for(lambda: key in self.answers, ANSWER_SECONDS_MAX):
                raise RuntimeError("no answer to " + key[0])
            return [reason.value for reason in self.answers[key]]

    def publish(self, request):
        properties = None
        if self.is_5 and "properties" in request:
            given = request["properties"]
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = [tuple(pair) for pair in given.get("user", [])]
            if "contentType" in given:
                properties.ContentType = given["contentType"]
            if "responseTopic" in given:
                properties.ResponseTopic = given["responseTopic"]
            if "correlationData" in given:
                properties.CorrelationData = base64.b64decode(given["correlationData"])
        payload = base64.b64decode(request["payload"])
        sent = self.client.publish(request["topic"], payload, request["qos"], request["retain"], properties)
        sent.wait_for_publish(ANSWER_SECONDS_MAX)
        if not sent.is_published():
            raise RuntimeError("not acknowledged")

    def subscribe(self, request):
        options = {"options": SubscribeOptions(qos=request["qos"])} if self.is_5 else {"qos": request["qos"]}
        _, mid = self.client.subscribe(request["filter"], **options)
        return self.wait_for(("subscribe", mid))

    def unsubscribe(self, request):
        _, mid = self.client.unsubscribe(request["filter"])
        self.wait_for(("unsubscribe", mid))

    def receive(self, request):
        try:
            message = self.received.get(timeout=request["ms"] / 1000)
        except queue.Empty:
            return None
        answer = {
            "topic": message.topic,
            "payload": base64.b64encode(message.payload).decode(),
            "qos": message.qos,
            "retain": message.retain,
            "dup": message.dup,
        }
        if message.properties is not None:
            given = message.properties
            answer["user"] = getattr(given, "UserProperty", [])
            answer["contentType"] = getattr(given, "ContentType", None)
            answer["responseTopic"] = getattr(given, "ResponseTopic", None)
            data = getattr(given, "CorrelationData", None)
            answer["correlationData"] = None if data is None else base64.b64encode(data).decode()
        return answer

    def close(self, _request=None):
        self.client.disconnect()
        self.client.loop_stop()

    def cut(self, _request=None):
        self.client.loop_stop()
        self.client.socket().close()


connections = {}


def answer_to(request):
    op = request["op"]
    if op == "open":
        connection = Connection(request)
        connections[request["connection"]] = connection
        return {"isPresent": connection.is_present}
    if op == "reset":
        for connection in connections.values():
            connection.client.loop_stop()
            if connection.client.socket() is not None:
                connection.client.socket().close()
        connections.clear()
        return None
    return getattr(connections[request["connection"]], op)(request)


for line in sys.stdin:
    message = json.loads(line)
    try:
        reply = {"ok": answer_to(message)}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"id": message["id"], **reply}), flush=True)
