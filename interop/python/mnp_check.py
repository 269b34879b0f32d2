"""What SPEC.md promises, tried from another language: python3 mnp_check.py PORT. One line for each check."""

import sys

from mnp import ACCEPT, BYTES, FAIL, JSON, MAP, NONE, REJECT, TEXT, Connection, MnpError, mapping, section

port = int(sys.argv[1])


def connect(**options):
    return Connection(port, **options)


def greets():
    connection = connect()
    assert connection.welcome["connectionId"] and connection.welcome["product"].startswith("ManifoldMQ")
    connection.close()


def sends_and_receives():
    connection = connect()
    connection.producer(1, "queue://py.bodies")
    bodies = [(TEXT, "hé€😀".encode()), (BYTES, bytes(range(256))), (JSON, b'{"a":1}'), (NONE, b""), (MAP, mapping({"a": 1}))]
    for kind, body in bodies:
        properties = {"n": 5, "big": 2**40, "d": 0.5, "s": "x", "yes": True, "no": None, "raw": b"\0\xff"}
        connection.sure(1, section(kind, body, True, 7, "c-1", "queue://replies", properties))
    connection.consumer(2, "queue://py.bodies")
    connection.grant(2, 10)
    for kind, body in bodies:
        message = connection.receive(2)
        assert (message.kind, message.body) == (kind, body), message.body
        assert message.properties == properties, message.properties
        assert message.fields == {"persistent": True, "priority": 7, "correlationId": "c-1", "replyTo": "queue://replies"}
        assert message.facts["address"] == "queue://py.bodies" and not message.facts["redelivered"]
        connection.settle(message, ACCEPT)
    assert connection.destination(op="inspect", address="queue://py.bodies")["messages"] == 0
    connection.close()


def sends_in_parts():
    connection = connect(frame_bytes_max=4096)
    connection.producer(1, "queue://py.parts")
    body = bytes(range(256)) * 12000
    connection.sure(1, section(BYTES, body))
    connection.consumer(2, "queue://py.parts")
    connection.grant(2, 1)
    message = connection.receive(2)
    assert message.body == body, len(message.body)
    connection.settle(message, ACCEPT)
    connection.close()


def keeps_to_credit():
    connection = connect()
    connection.producer(1, "queue://py.credit")
    for number in range(10):
        connection.send(1, section(TEXT, str(number).encode()))
    connection.consumer(2, "queue://py.credit", ack="none")
    connection.grant(2, 3)
    assert [connection.receive(2).text for _ in range(3)] == ["0", "1", "2"]
    assert connection.destination(op="inspect", address="queue://py.credit")["messages"] == 7
    connection.grant(2, 20, drain=True)
    assert connection.until_drained(2) == 13
    assert [message.text for message in connection.messages] == [str(number) for number in range(3, 10)]
    connection.close()


def settles():
    connection = connect()
    connection.producer(1, "queue://py.settle")
    connection.sure(1, section(TEXT, b"x"))
    connection.consumer(2, "queue://py.settle")
    connection.grant(2, 5)
    connection.settle(connection.receive(2), FAIL)
    again = connection.receive(2)
    assert again.facts["redelivered"] and again.facts["count"] == 1
    connection.settle(again, REJECT, reason="no such article")
    connection.consumer(3, "queue://DLQ.py.settle", ack="none")
    connection.grant(3, 1)
    assert "no such article" in connection.receive(3).facts["annotations"]["dead-letter-reason"]
    connection.close()


def transacts():
    connection = connect()
    connection.producer(1, "queue://py.in")
    connection.producer(2, "queue://py.out")
    connection.sure(1, section(TEXT, b"x"))
    connection.consumer(3, "queue://py.in")
    connection.grant(3, 5)
    message = connection.receive(3)
    connection.sure(2, section(TEXT, b"never"), transaction=1)
    connection.settle(message, ACCEPT, transaction=1)
    connection.end(1, commit=False)
    connection.sure(2, section(TEXT, b"y"), transaction=2)
    connection.settle(message, ACCEPT, transaction=2)
    assert not connection.destination(op="inspect", address="queue://py.out")["exists"]
    connection.end(2, commit=True)
    assert connection.destination(op="inspect", address="queue://py.in")["messages"] == 0
    assert connection.destination(op="inspect", address="queue://py.out")["messages"] == 1
    connection.close()


def named_producers_do_not_double():
    first = connect()
    assert first.producer(1, "queue://py.named", name="py", instance="a")["lastSeq"] == 0
    for text in (b"1", b"2"):
        first.sure(1, section(TEXT, text, True))
    first.socket.close()
    second = connect()
    fields = second.producer(1, "queue://py.named", name="py", instance="a")
    assert (fields["lastSeq"], fields["rejected"], fields["instance"]) == (2, [], "a"), fields
    second.seqs[1] = 1
    second.answered[1] = 1
    for text in (b"2", b"3"):
        second.sure(1, section(TEXT, text, True))
    assert second.destination(op="inspect", address="queue://py.named")["messages"] == 3
    second.close()


def browses():
    connection = connect()
    connection.producer(1, "queue://py.browse")
    for text in (b"a", b"b"):
        connection.sure(1, section(TEXT, text))
    connection.consumer(2, "queue://py.browse", browse=True)
    connection.grant(2, 10)
    assert connection.until_drained(2) is None
    assert [message.text for message in connection.messages] == ["a", "b"]
    connection.close()


def refuses():
    connection = connect()
    try:
        connection.producer(1, "topic://prices.>")
        raise AssertionError("a pattern is no destination of a message")
    except MnpError as error:
        assert (error.code, error.name, error.retryable) == (301, "invalid-destination", False)
    connection.frame(0x7E, b"", 8)
    connection.destination(op="declare", address="queue://py.still")
    connection.frame(0x7E, b"")
    try:
        connection.turn()
        raise AssertionError("an unknown frame must be refused")
    except MnpError as error:
        assert error.code == 100


failed = 0
for check in (greets, sends_and_receives, sends_in_parts, keeps_to_credit, settles, transacts, named_producers_do_not_double, browses, refuses):
    name = check.__name__.replace("_", " ")
    try:
        check()
        print(f"ok {name}", flush=True)
    except Exception as error:
        failed += 1
        print(f"not ok {name}: {type(error).__name__} {error}", flush=True)
sys.exit(1 if failed else 0)
