"""A minimal client of MNP/1, written from protocols/native/SPEC.md with nothing but Python's standard library."""

import socket
import struct

HELLO, WELCOME, PING, PONG, BYE, OK, ERROR = 0x01, 0x02, 0x04, 0x05, 0x07, 0x08, 0x09
PRODUCER, CONSUMER, CLOSE_LINK, SEND, ACCEPTED = 0x10, 0x11, 0x12, 0x20, 0x22
DELIVER, PART, SETTLE, CREDIT, DRAINED, TX_END, DEST = 0x30, 0x31, 0x32, 0x33, 0x34, 0x40, 0x50
REPLY, TX, MORE = 1, 2, 4
NONE, BYTES, TEXT, MAP, LIST, VALUE, JSON = range(7)
ACCEPT, RELEASE, FAIL, REJECT = range(4)


class MnpError(Exception):
    def __init__(self, code, name, text, retryable):
        super().__init__(f"{code} {name}: {text}")
        self.code, self.name, self.text, self.retryable = code, name, text, retryable


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def string(text):
    data = text.encode()
    return varint(len(data)) + data


def value(item):
    if item is None:
        return b"\0"
    if isinstance(item, bool):
        return bytes([1, item])
    if isinstance(item, int):
        if -(2**31) <= item < 2**31:
            return b"\5" + varint(item * 2 if item >= 0 else -item * 2 - 1)
        return b"\6" + struct.pack(">q", item)
    if isinstance(item, float):
        return b"\7" + struct.pack(">d", item)
    if isinstance(item, str):
        return b"\x09" + string(item)
    if isinstance(item, bytes):
        return b"\x0a" + varint(len(item)) + item
    if isinstance(item, dict):
        return b"\x0b" + mapping(item)
    return b"\x0c" + varint(len(item)) + b"".join(value(one) for one in item)


def mapping(entries):
    return varint(len(entries)) + b"".join(string(name) + value(item) for name, item in entries.items())


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError("it ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def unpack(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def block(self):
        return self.take(self.varint())

    def string(self):
        return self.block().decode()

    def rest(self):
        return self.take(len(self.data) - self.at)

    def mapping(self):
        return {self.string(): self.value() for _ in range(self.varint())}

    def value(self):
        tag = self.byte()
        fixed = {2: ">b", 4: ">h", 6: ">q", 7: ">d", 8: ">f", 14: ">q", 15: ">B", 16: ">H", 17: ">I", 18: ">Q"}
        if tag == 0:
            return None
        if tag == 1:
            return self.byte() != 0
        if tag in fixed:
            return self.unpack(fixed[tag])
        if tag == 3:
            return chr(self.varint())
        if tag == 5:
            coded = self.varint()
            return coded // 2 if coded % 2 == 0 else -(coded + 1) // 2
        if tag in (9, 19, 20):
            return self.string()
        if tag in (10, 21):
            return self.block()
        if tag == 11:
            return self.mapping()
        if tag == 12:
            return [self.value() for _ in range(self.varint())]
        if tag == 22:
            return [(self.value(), self.value()) for _ in range(self.varint())]
        raise ValueError(f"no value has the tag {tag}")

    def error(self):
        code = self.unpack(">H")
        return None if code == 0 else MnpError(code, self.string(), self.string(), self.byte() != 0)


class Message:
    """A delivery: its facts, and its section read."""

    def __init__(self, link, number, facts, section):
        self.link, self.number, self.facts = link, number, facts
        reader = Reader(section)
        self.kind = reader.byte()
        present = reader.unpack(">H")
        self.fields = {}
        fields = [("persistent", None), ("priority", Reader.byte), ("expiresAt", Reader.varint), ("timestamp", Reader.varint)]
        fields += [("messageId", Reader.string), ("correlationId", Reader.value), ("replyTo", Reader.string)]
        fields += [("subject", Reader.string), ("group", lambda r: (r.string(), r.varint())), ("contentType", Reader.string)]
        fields += [("deliverAt", Reader.varint), ("contentEncoding", Reader.string), ("traceparent", Reader.string)]
        fields += [("userId", Reader.string), ("retain", None), ("to", Reader.string)]
        for bit, (name, read) in enumerate(fields):
            if present >> bit & 1:
                self.fields[name] = True if read is None else read(reader)
        properties = reader.block()
        self.properties = Reader(properties).mapping() if properties else {}
        self.body = reader.rest()

    @property
    def text(self):
        return self.body.decode()


def section(kind, body, persistent=False, priority=None, correlation_id=None, reply_to=None, properties=None):
    present = (1 if persistent else 0) | (0 if priority is None else 2)
    present |= (0 if correlation_id is None else 32) | (0 if reply_to is None else 64)
    out = struct.pack(">BH", kind, present)
    if priority is not None:
        out += bytes([priority])
    if correlation_id is not None:
        out += value(correlation_id)
    if reply_to is not None:
        out += string(reply_to)
    encoded = mapping(properties) if properties else b""
    return out + varint(len(encoded)) + encoded + body


class Connection:
    """One connection; calls wait for their answers."""

    def __init__(self, port, client_id=None, frame_bytes_max=1024 * 1024):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.input = self.socket.makefile("rb")
        self.frame_bytes_max = 64 * 1024
        self.last = 0
        self.seqs, self.credit, self.answered = {}, {}, {}
        self.rejected, self.facts, self.parts, self.messages, self.drained = {}, {}, {}, [], {}
        hello = {"product": "mnp.py", "heartBeatMs": 10000, "frameBytesMax": frame_bytes_max}
        if client_id is not None:
            hello["clientId"] = client_id
        self.socket.sendall(b"MNFD\x01\0\0\0")
        self.frame(HELLO, mapping(hello))
        preface = self.input.read(8)
        if preface[:5] != b"MNFD\x01":
            raise ValueError(f"no MNP/1: {preface!r}")
        kind, _, reader = self.read()
        if kind != WELCOME:
            self.handle(kind, 0, reader)
            raise ValueError("no WELCOME")
        self.welcome = reader.mapping()
        self.frame_bytes_max = self.welcome["frameBytesMax"]

    def frame(self, kind, payload, flags=0):
        self.socket.sendall(struct.pack(">IBB", len(payload) + 2, kind, flags) + payload)

    def read(self):
        head = self.input.read(6)
        if len(head) < 6:
            raise ConnectionError("the broker has hung up")
        length, kind, flags = struct.unpack(">IBB", head)
        return kind, flags, Reader(self.input.read(length - 2))

    def ask(self, kind, payload, flags=0, transaction=None):
        self.last += 1
        corr = self.last
        head = varint(corr) if transaction is None else varint(corr) + varint(transaction)
        self.frame(kind, head + payload, flags | REPLY | (0 if transaction is None else TX))
        while True:
            kind, flags, reader = self.read()
            if kind in (OK, ERROR):
                at = reader.varint()
                if kind == ERROR and at in (0, corr):
                    raise reader.error()
                if at == corr:
                    return reader.mapping()
            self.handle(kind, flags, reader, answer=kind in (OK, ERROR))

    def handle(self, kind, flags, reader, answer=False):
        if answer:
            return
        if kind == PING:
            self.frame(PONG, varint(reader.varint()))
        elif kind == ACCEPTED:
            link, up_to = reader.varint(), reader.varint()
            self.answered[link] = up_to
            for _ in range(reader.varint()):
                seq = reader.varint()
                self.rejected[(link, seq)] = reader.error()
        elif kind == CREDIT:
            link = reader.varint()
            self.credit[link] = [had + more for had, more in zip(self.credit[link], (reader.varint(), reader.varint()))]
        elif kind == DELIVER:
            link, number, info, message_number = reader.varint(), reader.varint(), reader.byte(), reader.varint()
            known = self.facts.setdefault(link, {})
            count = reader.varint() if info & 4 else 0
            if info & 8:
                known["origin"] = reader.string()
            if info & 16:
                known["address"] = reader.string()
            annotations = reader.mapping() if info & 32 else {}
            facts = dict(known, id=known["origin"] + str(message_number), count=count, annotations=annotations)
            facts["redelivered"] = info & 1 != 0
            self.collect(flags, link, (link, number, facts), reader.rest())
        elif kind == PART:
            link = reader.varint()
            head, begun = self.parts.pop(link)
            self.collect(flags, link, head, begun + reader.rest())
        elif kind == DRAINED:
            link = reader.varint()
            self.drained[link] = reader.varint()
        elif kind == CLOSE_LINK:
            link = reader.varint()
            self.drained[link] = reader.error()
        elif kind in (ERROR, BYE):
            if kind == ERROR:
                reader.varint()
            raise reader.error() or ConnectionError("the broker has said goodbye")

    def collect(self, flags, link, head, data):
        if flags & MORE:
            self.parts[link] = (head, data)
        else:
            self.messages.append(Message(*head, data))

    def producer(self, link, destination, **options):
        fields = self.ask(PRODUCER, varint(link) + mapping({"destination": destination, **options}))
        self.credit[link] = [fields["credit"], fields["creditBytes"]]
        self.seqs[link] = self.answered[link] = fields["lastSeq"]
        return fields

    def send(self, link, data, transaction=None, seq=None):
        """Writes one section, in parts if need be, once there is credit. Returns its seq."""
        while min(self.credit[link]) <= 0:
            self.turn()
        if seq is None:
            self.seqs[link] += 1
            seq = self.seqs[link]
        self.credit[link] = [self.credit[link][0] - 1, self.credit[link][1] - len(data)]
        flags = 0 if transaction is None else TX
        head = (b"" if transaction is None else varint(transaction)) + varint(link) + varint(seq)
        room = self.frame_bytes_max - 64
        pieces = [data[at : at + room] for at in range(0, len(data), room)]
        for index, piece in enumerate(pieces):
            more = MORE if index < len(pieces) - 1 else 0
            if index == 0:
                self.frame(SEND, head + piece, flags | more)
            else:
                self.frame(PART, varint(link) + piece, more)
        return seq

    def sure(self, link, data, transaction=None):
        """Sends and waits for the answer."""
        seq = self.send(link, data, transaction)
        while self.answered[link] < seq:
            self.turn()
        if (link, seq) in self.rejected:
            raise self.rejected[(link, seq)]
        return seq

    def consumer(self, link, source, **options):
        self.ask(CONSUMER, varint(link) + mapping({"source": source, **options}))

    def grant(self, link, messages, size=1024 * 1024, drain=False):
        self.frame(CREDIT, varint(link) + varint(messages) + varint(size) + bytes([drain]))

    def turn(self):
        self.handle(*self.read())

    def receive(self, link):
        while True:
            for message in self.messages:
                if message.link == link:
                    self.messages.remove(message)
                    return message
            self.turn()

    def until_drained(self, link):
        while link not in self.drained:
            self.turn()
        return self.drained.pop(link)

    def settle(self, message, outcome, transaction=None, reason="", delay=0):
        tail = varint(delay) if outcome == FAIL else string(reason) if outcome == REJECT else b""
        payload = varint(message.link) + bytes([outcome]) + varint(1) + varint(message.number) + varint(0) + tail
        self.ask(SETTLE, payload, transaction=transaction)

    def end(self, transaction, commit):
        self.ask(TX_END, varint(transaction) + bytes([0 if commit else 1]))

    def destination(self, **fields):
        return self.ask(DEST, mapping(fields))

    def close(self):
        self.frame(BYE, b"\0\0")
        while True:
            kind, _, reader = self.read()
            if kind == BYE:
                break
        self.socket.close()
