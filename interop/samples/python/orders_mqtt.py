import sys

import paho.mqtt.client as mqtt

port = int(sys.argv[1]) if len(sys.argv) > 1 else 1883


def on_connect(client, userdata, flags, reason, properties):
    client.subscribe("$queue/orders", qos=1)


def on_subscribe(client, userdata, mid, reasons, properties):
    client.publish("$queue/orders", "two espressos", qos=1)


def on_message(client, userdata, message):
    print("received", message.payload.decode())
    client.ack(message.mid, message.qos)
    client.disconnect()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, manual_ack=True)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("127.0.0.1", port)
client.loop_forever()
