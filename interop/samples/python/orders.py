import sys
import threading

import stomp

port = int(sys.argv[1]) if len(sys.argv) > 1 else 61613
done = threading.Event()


class Orders(stomp.ConnectionListener):
    def on_message(self, frame):
        print("received", frame.body)
        connection.ack(frame.headers["ack"], receipt="acknowledged")

    def on_receipt(self, frame):
        if frame.headers["receipt-id"] == "acknowledged":
            done.set()

    def on_error(self, frame):
        print("error:", frame.headers["message"], file=sys.stderr)


connection = stomp.Connection12([("127.0.0.1", port)], heartbeats=(10000, 10000))
connection.set_listener("orders", Orders())
connection.connect(wait=True)
connection.subscribe("/queue/orders", id="orders", ack="client-individual")
connection.send("/queue/orders", "two espressos", content_type="text/plain")
done.wait(10)
connection.disconnect()
