"""What python-qpid-proton must be able to do with the broker: prints `ok NAME` or `not ok NAME: REASON` for each step."""

import sys
import time
import traceback
import uuid
import zlib
from functools import partial

from proton import (
    Array,
    ConnectionException,
    Data,
    Delivery,
    Message,
    Timeout,
    UNDESCRIBED,
    byte,
    char,
    decimal64,
    float32,
    int32,
    short,
    symbol,
    timestamp,
    ubyte,
    uint,
    ulong,
    ushort,
)
from proton.handlers import MessagingHandler, TransactionHandler
from proton.reactor import (
    AtLeastOnce,
    AtMostOnce,
    Container,
    Copy,
    DurableSubscription,

    ReceiverOption,
    Selector,
)
from proton.utils import BlockingConnection, LinkDetached, SyncRequestResponse

PORT = int(sys.argv[1])
URL = f"amqp://127.0.0.1:{PORT}"
WAIT = 5
NONE = 0.3

def same(expected, found):
    assert expected == found, f"expected {expected!r}, found {found!r}"

def same_bytes(expected, message):
    """The bytes of a body belong to the message, and are gone with it: it must be held while they are read."""
    assert bytes(message.body) == expected, "other bytes"

class Blocking:
    """A blocking connection that is closed at the end."""

    def __init__(self, container=None, **more):
        self.container = Container()
        if container is not None:
            self.container.container_id = container
        self.more = more

    def __enter__(self):
        self.connection = BlockingConnection(URL, timeout=WAIT, container=self.container, **self.more)
        return self.connection

    def __exit__(self, *_):
        try:
            self.connection.close()
        except ConnectionException:
            pass

def expect(receiver, *bodies):
    for body in bodies:
        same(body, receiver.receive(timeout=WAIT).body)
        receiver.accept()

def nothing(receiver):
    try:
        found = receiver.receive(timeout=NONE)
    except Timeout:
        return
    raise AssertionError(f"one too many came: {found.body!r}")

def fail(receiver):
    """Settles the oldest message as a failed delivery; release(delivered=True) leaves delivery-failed false."""
    delivery = receiver.fetcher.unsettled.popleft()
    delivery.local.failed = True
    delivery.update(Delivery.MODIFIED)
    delivery.settle()


def connects():
    with Blocking(user="user", password="secret", allowed_mechs="PLAIN") as connection:
        same("ManifoldMQ", connection.conn.remote_properties["product"])
    with Blocking(allowed_mechs="ANONYMOUS"):
        pass
    with Blocking(sasl_enabled=False):
        pass

def bodies():
    sent = [
        "Grüße 😀",
        b"\x00\xff",
        None,
        True,
        5,
        ulong(2**63),
        2.5,
        {"a": [1, {"b": None}]},
        ["x", symbol("y"), char("z"), timestamp(1234567890123), uuid.UUID(int=7), decimal64(9)],
        Array(UNDESCRIBED, Data.INT, 1, 2, 3),
    ]
    properties = {
        "bool": True,
        "byte": byte(-1),
        "short": short(-2),
        "int": int32(-3),
        "long": -4,
        "ubyte": ubyte(1),
        "ushort": ushort(2),
        "uint": uint(3),
        "ulong": ulong(4),
        "float": float32(1.5),
        "double": 2.5,
        "text": "Grüße",
        "uuid": uuid.UUID(int=5),
        "time": timestamp(1),
        "symbol": symbol("s"),
        "none": None,
    }
    with Blocking() as connection:
        sender = connection.create_sender("py.bodies")
        receiver = connection.create_receiver("py.bodies", credit=20)
        for body in sent:
            message = Message(
                body=body,
                properties=properties,
                id=uuid.UUID(int=1),
                correlation_id=ulong(2),
                user_id=b"me",
                subject="s",
                reply_to="r",
                durable=True,
                priority=7,
                annotations={symbol("x-opt-note"): "kept"},
                group_id="g",
                content_type="text/plain",
            )
            sender.send(message)
            back = receiver.receive(timeout=WAIT)
            receiver.accept()
            for field in ("body", "id", "correlation_id", "subject", "durable", "priority", "annotations", "group_id", "properties"):
                same(getattr(message, field), getattr(back, field))
            for name, value in properties.items():
                same(type(value), type(back.properties[name]))

def large():
    body = bytes(at * 7919 >> 5 & 255 for at in range(1024)) * 10240
    with Blocking() as connection:
        connection.create_sender("py.large").send(Message(body=body))
        receiver = connection.create_receiver("py.large")
        same_bytes(body, receiver.receive(timeout=4 * WAIT))
        receiver.accept()

def outcomes():
    with Blocking() as connection:
        connection.create_sender("py.outcomes").send(Message(body="x"))
        receiver = connection.create_receiver("py.outcomes", credit=10)
        message = receiver.receive(timeout=WAIT)
        same((0, True), (message.delivery_count, message.first_acquirer))
        receiver.release(delivered=False)
        message = receiver.receive(timeout=WAIT)
        same((0, False), (message.delivery_count, message.first_acquirer))
        fail(receiver)
        same(1, receiver.receive(timeout=WAIT).delivery_count)
        receiver.reject()
        dead = connection.create_receiver("DLQ.py.outcomes")
        message = dead.receive(timeout=WAIT)
        same("x", message.body)
        same("queue://py.outcomes", message.annotations[symbol("x-opt-dead-letter-address")])
        dead.accept()

def ten_times():
    with Blocking() as connection:
        connection.create_sender("py.ten").send(Message(body="x"))
        receiver = connection.create_receiver("py.ten", credit=1)
        for count in range(10):
            same(count, receiver.receive(timeout=WAIT).delivery_count)
            fail(receiver)
        nothing(receiver)
        expect(connection.create_receiver("DLQ.py.ten"), "x")

def modes():
    with Blocking() as connection:
        receiver = connection.create_receiver("py.modes", credit=5)
        connection.create_sender("py.modes", options=AtMostOnce()).send(Message(body="a"))
        connection.create_sender("py.modes", name="second", options=AtLeastOnce()).send(Message(body="b"))
        expect(receiver, "a", "b")
        receiver.close()
        settled = connection.create_receiver("py.modes", name="settled", options=AtMostOnce())
        connection.create_sender("py.modes", name="third").send(Message(body="c"))
        same("c", settled.receive(timeout=WAIT).body)

def selectors():
    with Blocking() as connection:
        receiver = connection.create_receiver("py.selector", options=Selector("colour = 'red'"), credit=5)
        sender = connection.create_sender("py.selector")
        sender.send(Message(body="no", properties={"colour": "blue"}))
        sender.send(Message(body="yes", properties={"colour": "red"}))
        expect(receiver, "yes")
        nothing(receiver)

def browses():
    with Blocking() as connection:
        sender = connection.create_sender("py.browse")
        for number in range(3):
            sender.send(Message(body=str(number)))
        browser = connection.create_receiver("py.browse", options=Copy(), credit=10)
        for number in range(3):
            same(str(number), browser.receive(timeout=WAIT).body)
        nothing(browser)
        browser.close()
        expect(connection.create_receiver("py.browse", name="taker"), "0", "1", "2")

def durable():
    with Blocking("py-durable") as connection:
        receiver = connection.create_receiver("topic://py.durable", name="sub", options=DurableSubscription())
        receiver.detach()
        connection.create_sender("topic://py.durable").send(Message(body="missed"))
    with Blocking("py-durable") as connection:
        receiver = connection.create_receiver("topic://py.durable", name="sub", options=DurableSubscription())
        expect(receiver, "missed")
        receiver.close()

class Shared(ReceiverOption):
    def apply(self, receiver):
        receiver.source.capabilities.put_array(False, Data.SYMBOL)
        receiver.source.capabilities.enter()
        receiver.source.capabilities.put_symbol("shared")
        receiver.source.capabilities.exit()

def shared():
    with Blocking() as connection:
        receivers = [
            connection.create_receiver("topic://py.shared", name=f"work|{number}", options=Shared(), credit=10) for number in range(2)
        ]
        sender = connection.create_sender("topic://py.shared")
        for number in range(10):
            sender.send(Message(body=str(number)))
        same(list("0123456789"), sorted(gathered(receivers, 10)))

def refusals():
    with Blocking() as connection:
        try:
            connection.create_sender("tcp://nowhere")
        except LinkDetached as refusal:
            same("amqp:invalid-field", refusal.condition)
        else:
            raise AssertionError("a wrong address was taken")
        connection.create_sender("py.fine").send(Message(body="x"))

def request_reply():
    with Blocking() as connection:
        client = SyncRequestResponse(connection, "stomp.echo")
        reply = client.call(Message(body="Grüße", properties={"colour": "red"}))
        same("Grüße", reply.body)
        same("red", reply.properties["colour"])

class Streaming(MessagingHandler):
    """Sends and receives many at once in the reactor, with prefetch and acknowledgement by itself."""

    count = 5000

    def __init__(self):
        super().__init__(prefetch=100)
        self.sent = self.confirmed = 0
        self.received = []

    def on_start(self, event):
        self.connection = event.container.connect(URL, reconnect=False)
        event.container.create_receiver(self.connection, "py.stream")
        event.container.create_sender(self.connection, "py.stream")

    def on_sendable(self, event):
        while event.sender.credit and self.sent < self.count:
            event.sender.send(Message(body=self.sent))
            self.sent += 1

    def on_accepted(self, event):
        self.confirmed += 1
        self.check()

    def on_message(self, event):
        self.received.append(event.message.body)
        self.check()

    def check(self):
        if self.confirmed == self.count and len(self.received) == self.count:
            self.connection.close()

def streaming():
    handler = Streaming()
    Container(handler).run()
    same(list(range(Streaming.count)), handler.received)

class InTransaction(MessagingHandler, TransactionHandler):
    """Two messages in a transaction that is aborted, two in one that is committed; then both are received in transactions."""

    def __init__(self):
        super().__init__(prefetch=0, auto_accept=False)
        self.log = []
        self.received = []
        self.transaction = None
        self.phase = "abort sends"

    def on_start(self, event):
        self.container = event.container
        self.connection = event.container.connect(URL, reconnect=False)
        self.sender = event.container.create_sender(self.connection, "py.tx")
        self.receiver = event.container.create_receiver(self.connection, "py.tx")
        self.container.declare_transaction(self.connection, handler=self)

    def on_transaction_declared(self, event):
        self.transaction = event.transaction
        if self.phase in ("abort sends", "commit sends"):
            for number in range(2):
                self.transaction.send(self.sender, Message(body=f"{self.phase} {number}"))
            self.transaction.abort() if self.phase == "abort sends" else self.transaction.commit()
        else:
            self.receiver.flow(2)

    def on_message(self, event):
        self.received.append(event.message.body)
        self.transaction.accept(event.delivery)
        if len(self.received) == 2:
            self.transaction.commit()

    def on_transaction_aborted(self, event):
        self.log.append(self.phase)
        self.phase = "commit sends"
        self.container.declare_transaction(self.connection, handler=self)

    def on_transaction_committed(self, event):
        self.log.append(self.phase)
        if self.phase == "receive":
            self.connection.close()
            return
        self.phase = "receive"
        self.container.declare_transaction(self.connection, handler=self)

def transactions():
    handler = InTransaction()
    Container(handler).run()
    same(["abort sends", "commit sends", "receive"], handler.log)
    same(["commit sends 0", "commit sends 1"], handler.received)
    with Blocking() as connection:
        nothing(connection.create_receiver("py.tx"))

class Other:
    """A client of another protocol, which does what it is asked for and answers; see interop/amqp/other.ts."""

    def __init__(self, word, talents):
        self.word = word
        self.talents = talents

    def name(self, what):
        return f"py.{self.word}.{what}"

    def ask(self, *words):
        with Blocking() as connection:
            client = SyncRequestResponse(connection, f"cross.{self.word}")
            client.connection.timeout = 6 * WAIT
            return plain(client.call(Message(body=" ".join(str(word) for word in words))))

    def does(self, expected, *words):
        same(expected, self.ask(*words))

def plain(message):
    """Text of another protocol comes as a string if that says so, and as bytes if it cannot."""
    return message.body if isinstance(message.body, str) else bytes(message.body).decode()

def takes(receiver, *bodies):
    for body in bodies:
        same(body, plain(receiver.receive(timeout=WAIT)))
        receiver.accept()

def gathered(receivers, count):
    """The text of so many messages, whichever of the receivers gets them."""
    found = []
    end = time.monotonic() + WAIT
    while len(found) < count and time.monotonic() < end:
        for receiver in receivers:
            try:
                found.append(plain(receiver.receive(timeout=0.05)))
                receiver.accept()
            except Timeout:
                pass
    return found

def pattern(size):
    return (bytes(at * 7919 >> 5 & 255 for at in range(8192)) * (size // 8192 + 1))[:size]

def cross_durable(other):
    topic = other.name("durable")
    for bodies in ((), ("a", "b")):
        with Blocking(f"py-{other.word}") as connection:
            receiver = connection.create_receiver(f"topic://{topic}", name="sub", options=DurableSubscription(), credit=5)
            takes(receiver, *bodies)
            receiver.close() if bodies else receiver.detach()
        if not bodies:
            other.does("sent", "send", "topic", topic, "a,b")

def cross_shared(other):
    topic = other.name("shared")
    with Blocking() as connection:
        receivers = [connection.create_receiver(f"topic://{topic}", name=f"s|{number}", options=Shared(), credit=10) for number in range(2)]
        other.does("sent", "send", "topic", topic, "0,1,2,3,4,5,6,7,8,9")
        same(list("0123456789"), sorted(gathered(receivers, 10)))

def cross_selector(other):
    queue = other.name("selector")
    other.does("sent", "send", "queue", queue, "no,yes", "blue,red")
    with Blocking() as connection:
        receiver = connection.create_receiver(queue, options=Selector("colour = 'red'"), credit=5)
        takes(receiver, "yes")
        nothing(receiver)
    other.does("no", "take", queue, 1)

def cross_browse(other):
    queue = other.name("browse")
    other.does("sent", "send", "queue", queue, "a,b,c")
    with Blocking() as connection:
        browser = connection.create_receiver(queue, options=Copy(), credit=10)
        for body in "abc":
            same(body, plain(browser.receive(timeout=WAIT)))
        nothing(browser)
    other.does("a,b,c", "take", queue, 3)

def cross_large(other):
    queue = other.name("large")
    body = pattern(10 * 1024 * 1024)
    with Blocking() as connection:
        connection.create_sender(queue).send(Message(body=body))
        other.does(f"{len(body)} {zlib.crc32(body)}", "sum", queue)
        other.does("sent", "large", queue, len(body))
        receiver = connection.create_receiver(queue)
        same_bytes(body, receiver.receive(timeout=4 * WAIT))
        receiver.accept()

def cross_dead_letter(other):
    queue = other.name("dead")
    other.does("sent", "send", "queue", queue, "x")
    with Blocking() as connection:
        receiver = connection.create_receiver(queue, credit=1)
        receiver.receive(timeout=WAIT)
        fail(receiver)
        same(1, receiver.receive(timeout=WAIT).delivery_count)
        receiver.reject()
        # Until then it is not written.
        receiver.close()
        other.does("x", "take", f"DLQ.{queue}", 1)
        if "n" not in other.talents:
            return
        connection.create_sender(queue, name="again").send(Message(body="y"))
        other.does("10", "refuse", queue, 10)
        message = connection.create_receiver(f"DLQ.{queue}").receive(timeout=WAIT)
        same("y", plain(message))
        same(f"queue://{queue}", message.annotations[symbol("x-opt-dead-letter-address")])

class CrossTransaction(MessagingHandler, TransactionHandler):
    """Rolls back and commits sends that the other side must not see before."""

    def __init__(self, other):
        super().__init__(prefetch=0, auto_accept=False)
        self.other = other
        self.queue = other.name("tx")
        self.commits = False
        self.failure = None

    def on_start(self, event):
        self.container = event.container
        self.connection = event.container.connect(URL)
        self.sender = event.container.create_sender(self.connection, self.queue)
        self.container.declare_transaction(self.connection, handler=self)

    def on_transaction_declared(self, event):
        for body in "ab":
            event.transaction.send(self.sender, Message(body=body))
        self.check("nothing", "nothing", self.queue)
        if self.commits:
            event.transaction.commit()
        else:
            event.transaction.abort()

    def on_transaction_aborted(self, event):
        self.check("nothing", "nothing", self.queue)
        self.commits = True
        self.container.declare_transaction(self.connection, handler=self)

    def on_transaction_committed(self, event):
        self.check("a,b", "take", self.queue, 2)
        self.connection.close()

    def check(self, expected, *words):
        try:
            self.other.does(expected, *words)
        except Exception as failure:
            self.failure = self.failure or failure

def cross_transaction(other):
    handler = CrossTransaction(other)
    Container(handler).run()
    if handler.failure is not None:
        raise handler.failure
    if "t" not in other.talents:
        return
    queue = other.name("tx2")
    with Blocking() as connection:
        receiver = connection.create_receiver(queue, credit=5)
        other.does("done", "transact", "abort", queue, "undone")
        nothing(receiver)
        other.does("done", "transact", "commit", queue, "a,b")
        takes(receiver, "a", "b")

def crossed(other):
    """Everything with one client of another protocol."""
    for step in (cross_durable, cross_shared, cross_browse, cross_large, cross_dead_letter, cross_transaction):
        named(step, other)
    if "c" in other.talents:
        named(cross_selector, other)

def named(step, other):
    try:
        step(other)
    except Exception as fault:
        fault.args = (f"{step.__name__}: {fault}",)
        raise

STEPS = {
    "connect with and without a password, and without SASL": connects,
    "every kind of body and property": bodies,
    "10 MiB": large,
    "outcomes and dead letter": outcomes,
    "ten failed deliveries": ten_times,
    "settlement modes": modes,
    "selector": selectors,
    "browse": browses,
    "durable subscription": durable,
    "shared subscription": shared,
    "refusals": refusals,
    "reactor: 5000 in flight": streaming,
    "reactor: transactions": transactions,
    "to STOMP and back, over a dynamic node": request_reply,
}

if len(sys.argv) > 2:
    pairs = [pair.split(":") for pair in sys.argv[2].split(",")]
    STEPS = {f"crossed with {word}": partial(crossed, Other(word, talents)) for word, talents in pairs}

for name, step in STEPS.items():
    try:
        step()
        print(f"ok {name}", flush=True)
    except Exception as fault:
        place = traceback.extract_tb(fault.__traceback__)[-1]
        reason = f"{type(fault).__name__}: {fault} (line {place.lineno})".replace("\n", " ")
        print(f"not ok {name}: {reason}", flush=True)
