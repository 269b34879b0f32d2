import sys

from proton import Message
from proton.utils import BlockingConnection

port = int(sys.argv[1]) if len(sys.argv) > 1 else 5672

connection = BlockingConnection(f"127.0.0.1:{port}", timeout=10)
receiver = connection.create_receiver("queue://orders")
sender = connection.create_sender("queue://orders")
sender.send(Message(body="two espressos", durable=True))
print("received", receiver.receive().body)
receiver.accept()
connection.close()
