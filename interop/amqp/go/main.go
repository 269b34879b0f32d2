// What go-amqp must be able to do with the broker: prints `ok NAME` or `not ok NAME: REASON` for each step.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/Azure/go-amqp"
)

const (
	wait = 5 * time.Second
	none = 300 * time.Millisecond
)

var address string

type client struct {
	*amqp.Conn
	*amqp.Session
}

func open(container string) (*client, error) {
	conn, err := amqp.Dial(context.Background(), address, &amqp.ConnOptions{ContainerID: container})
	if err != nil {
		return nil, err
	}
	session, err := conn.NewSession(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	return &client{conn, session}, nil
}

func (c *client) close() { _ = c.Conn.Close() }

func within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	time.AfterFunc(wait+time.Second, cancel)
	return ctx
}

func (c *client) send(to string, messages ...*amqp.Message) error {
	sender, err := c.NewSender(within(), to, nil)
	if err != nil {
		return err
	}
	for _, message := range messages {
		if err := sender.Send(within(), message, nil); err != nil {
			return err
		}
	}
	return sender.Close(within())
}

func text(body string) *amqp.Message { return &amqp.Message{Value: body} }

func next(receiver *amqp.Receiver) (*amqp.Message, error) {
	message, err := receiver.Receive(within(), nil)
	if err != nil {
		return nil, fmt.Errorf("no message came: %w", err)
	}
	return message, nil
}

func nothing(receiver *amqp.Receiver) error {
	ctx, cancel := context.WithTimeout(context.Background(), none)
	defer cancel()
	if message, err := receiver.Receive(ctx, nil); err == nil {
		return fmt.Errorf("one too many came: %v", message.Value)
	}
	return nil
}

func expect(receiver *amqp.Receiver, bodies ...string) error {
	for _, body := range bodies {
		message, err := next(receiver)
		if err != nil {
			return err
		}
		if message.Value != body {
			return fmt.Errorf("%v came instead of %v", message.Value, body)
		}
		if err := receiver.AcceptMessage(within(), message); err != nil {
			return err
		}
	}
	return nil
}

func first(errs ...error) error { return errors.Join(errs...) }

func connects(*client) error {
	plain, err := amqp.Dial(within(), address, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("user", "secret")})
	if err != nil {
		return err
	}
	defer plain.Close()
	if product := plain.Properties()["product"]; product != "ManifoldMQ" {
		return fmt.Errorf("the product is %v", product)
	}
	anonymous, err := amqp.Dial(within(), address, &amqp.ConnOptions{SASLType: amqp.SASLTypeAnonymous()})
	if err != nil {
		return err
	}
	return anonymous.Close()
}

func bodies(c *client) error {
	id := amqp.UUID{1, 2, 3, 15: 4}
	sent := &amqp.Message{
		Header:      &amqp.MessageHeader{Durable: true, Priority: 7},
		Properties:  &amqp.MessageProperties{MessageID: id, CorrelationID: uint64(5), UserID: []byte("me"), GroupID: ptr("g")},
		Annotations: amqp.Annotations{"x-opt-note": "kept"},
		ApplicationProperties: map[string]any{
			"bool": true, "i8": int8(-1), "i16": int16(-2), "i32": int32(-3), "i64": int64(-4), "u8": uint8(1), "u16": uint16(2),
			"u32": uint32(3), "u64": uint64(1 << 63), "f32": float32(1.5), "f64": 2.5, "text": "Grüße", "bytes": []byte{0, 255},
			"uuid": id, "none": nil,
		},
		Value:  map[string]any{"list": []any{int64(1), "a"}},
		Footer: amqp.Annotations{"crc": int32(9)},
	}
	if err := c.send("go.bodies", sent); err != nil {
		return err
	}
	receiver, err := c.NewReceiver(within(), "go.bodies", nil)
	if err != nil {
		return err
	}
	back, err := next(receiver)
	if err != nil {
		return err
	}
	for _, pair := range [][2]any{
		{sent.Properties, back.Properties}, {sent.ApplicationProperties, back.ApplicationProperties}, {sent.Annotations, back.Annotations},
		{sent.Value, back.Value}, {sent.Footer, back.Footer}, {true, back.Header.Durable}, {uint8(7), back.Header.Priority},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			return fmt.Errorf("%#v came back as %#v", pair[0], pair[1])
		}
	}
	if err := receiver.AcceptMessage(within(), back); err != nil {
		return err
	}
	sequence := &amqp.Message{Sequence: [][]any{{int64(1)}, {"b"}}}
	data := &amqp.Message{Data: [][]byte{[]byte("one"), []byte("two")}}
	if err := c.send("go.bodies", sequence, data); err != nil {
		return err
	}
	if back, err = next(receiver); err != nil || !reflect.DeepEqual(back.Sequence, sequence.Sequence) {
		return fmt.Errorf("%v, %v", back, err)
	}
	if err := receiver.AcceptMessage(within(), back); err != nil {
		return err
	}
	if back, err = next(receiver); err != nil || !reflect.DeepEqual(back.Data, data.Data) {
		return fmt.Errorf("%v, %v", back, err)
	}
	return nil
}

func large(c *client) error {
	body := make([]byte, 10<<20)
	for at := range body {
		body[at] = byte(at * 7919 >> 5)
	}
	if err := c.send("go.large", amqp.NewMessage(body)); err != nil {
		return err
	}
	receiver, err := c.NewReceiver(within(), "go.large", nil)
	if err != nil {
		return err
	}
	back, err := next(receiver)
	if err != nil || !bytes.Equal(back.GetData(), body) {
		return fmt.Errorf("other bytes (%w)", err)
	}
	return receiver.AcceptMessage(within(), back)
}

func outcomes(c *client) error {
	if err := c.send("go.outcomes", text("x")); err != nil {
		return err
	}
	receiver, err := c.NewReceiver(within(), "go.outcomes", nil)
	if err != nil {
		return err
	}
	steps := []func(*amqp.Message) error{
		func(m *amqp.Message) error { return receiver.ReleaseMessage(within(), m) },
		func(m *amqp.Message) error {
			return receiver.ModifyMessage(within(), m, &amqp.ModifyMessageOptions{DeliveryFailed: true, Annotations: amqp.Annotations{"x-opt-why": "because"}})
		},
		func(m *amqp.Message) error {
			if m.Header.DeliveryCount != 1 || m.Annotations["x-opt-why"] != "because" {
				return fmt.Errorf("count %d, annotations %v", m.Header.DeliveryCount, m.Annotations)
			}
			return receiver.RejectMessage(within(), m, &amqp.Error{Condition: "my:error", Description: "no"})
		},
	}
	for _, settle := range steps {
		message, err := next(receiver)
		if err != nil {
			return err
		}
		if err := settle(message); err != nil {
			return err
		}
	}
	dead, err := c.NewReceiver(within(), "DLQ.go.outcomes", nil)
	if err != nil {
		return err
	}
	message, err := next(dead)
	if err != nil {
		return err
	}
	if message.Annotations["x-opt-dead-letter-reason"] != "my:error: no" {
		return fmt.Errorf("annotations %v", message.Annotations)
	}
	return dead.AcceptMessage(within(), message)
}

func settledLast(c *client) error {
	receiver, err := c.NewReceiver(within(), "go.second", &amqp.ReceiverOptions{SettlementMode: amqp.ReceiverSettleModeSecond.Ptr()})
	if err != nil {
		return err
	}
	sender, err := c.NewSender(within(), "go.second", &amqp.SenderOptions{RequestedReceiverSettleMode: amqp.ReceiverSettleModeFirst.Ptr()})
	if err != nil {
		return err
	}
	if err := sender.Send(within(), text("x"), nil); err != nil {
		return err
	}
	settled, err := c.NewSender(within(), "go.second", &amqp.SenderOptions{SettlementMode: amqp.SenderSettleModeSettled.Ptr()})
	if err != nil {
		return err
	}
	return first(settled.Send(within(), text("y"), nil), expect(receiver, "x", "y"))
}

func selector(c *client) error {
	filter := amqp.NewSelectorFilter("colour = 'red'")
	receiver, err := c.NewReceiver(within(), "go.selector", &amqp.ReceiverOptions{Filters: []amqp.LinkFilter{filter}})
	if err != nil {
		return err
	}
	red, blue := text("red"), text("blue")
	red.ApplicationProperties = map[string]any{"colour": "red"}
	blue.ApplicationProperties = map[string]any{"colour": "blue"}
	return first(c.send("go.selector", blue, red), expect(receiver, "red"), nothing(receiver))
}

func drains(c *client) error {
	receiver, err := c.NewReceiver(within(), "go.drain", &amqp.ReceiverOptions{Credit: -1})
	if err != nil {
		return err
	}
	if err := first(c.send("go.drain", text("a"), text("b"), text("c")), receiver.IssueCredit(2), expect(receiver, "a", "b")); err != nil {
		return err
	}
	if err := first(receiver.IssueCredit(10), expect(receiver, "c"), receiver.DrainCredit(within(), nil)); err != nil {
		return err
	}
	return first(c.send("go.drain", text("later")), nothing(receiver), receiver.IssueCredit(1), expect(receiver, "later"))
}

func durable(*client) error {
	options := &amqp.ReceiverOptions{Name: "sub", SourceDurability: amqp.DurabilityUnsettledState, SourceExpiryPolicy: amqp.ExpiryPolicyNever}
	one, err := open("go-durable")
	if err != nil {
		return err
	}
	if _, err := one.NewReceiver(within(), "topic://go.durable", options); err != nil {
		return err
	}
	one.close()
	two, err := open("go-durable")
	if err != nil {
		return err
	}
	defer two.close()
	if err := two.send("topic://go.durable", text("missed")); err != nil {
		return err
	}
	receiver, err := two.NewReceiver(within(), "topic://go.durable", options)
	if err != nil {
		return err
	}
	return first(expect(receiver, "missed"), receiver.Close(within()))
}

func topics(c *client) error {
	var receivers []*amqp.Receiver
	for range 2 {
		receiver, err := c.NewReceiver(within(), "go.topic", &amqp.ReceiverOptions{SourceCapabilities: []string{"topic"}})
		if err != nil {
			return err
		}
		receivers = append(receivers, receiver)
	}
	if err := c.send("topic://go.topic", text("x")); err != nil {
		return err
	}
	return first(expect(receivers[0], "x"), expect(receivers[1], "x"))
}

func dynamic(c *client) error {
	mine, err := c.NewReceiver(within(), "", &amqp.ReceiverOptions{DynamicAddress: true})
	if err != nil {
		return err
	}
	replyTo := mine.Address()
	request := text("Grüße")
	request.Properties = &amqp.MessageProperties{ReplyTo: &replyTo, CorrelationID: "c"}
	request.ApplicationProperties = map[string]any{"colour": "red"}
	if err := c.send("stomp.echo", request); err != nil {
		return err
	}
	reply, err := next(mine)
	if err != nil {
		return err
	}
	if reply.Value != "Grüße" || reply.ApplicationProperties["colour"] != "red" || reply.Properties.CorrelationID != "c" {
		return fmt.Errorf("%v %v %v", reply.Value, reply.ApplicationProperties, reply.Properties)
	}
	return mine.AcceptMessage(within(), reply)
}

func refusals(c *client) error {
	var fault *amqp.LinkError
	if _, err := c.NewSender(within(), "tcp://nowhere", nil); !errors.As(err, &fault) && !strings.Contains(fmt.Sprint(err), "invalid-field") {
		return fmt.Errorf("a wrong address was taken: %v", err)
	}
	if _, err := c.NewReceiver(within(), "q", &amqp.ReceiverOptions{Filters: []amqp.LinkFilter{amqp.NewSelectorFilter("a = = b")}}); err == nil {
		return errors.New("a wrong selector was taken")
	}
	return c.send("go.fine", text("x"))
}

func many(c *client) error {
	sender, err := c.NewSender(within(), "go.many", nil)
	if err != nil {
		return err
	}
	const count = 5000
	receipts := make(chan error, count)
	for number := range count {
		receipt, err := sender.SendWithReceipt(within(), text(fmt.Sprint(number)), nil)
		if err != nil {
			return err
		}
		go func() { _, err := receipt.Wait(within()); receipts <- err }()
	}
	for range count {
		if err := <-receipts; err != nil {
			return err
		}
	}
	receiver, err := c.NewReceiver(within(), "go.many", &amqp.ReceiverOptions{Credit: 100})
	if err != nil {
		return err
	}
	for number := range count {
		if err := expect(receiver, fmt.Sprint(number)); err != nil {
			return err
		}
	}
	return nil
}

func ptr[T any](value T) *T { return &value }

type step struct {
	name string
	run  func(*client) error
}

func main() {
	address = "amqp://127.0.0.1:" + os.Args[1]
	steps := []step{
		{"connect with and without a password", connects},
		{"every kind of body and property", bodies},
		{"10 MiB", large},
		{"outcomes, redelivery and dead letter", outcomes},
		{"settlement modes", settledLast},
		{"selector", selector},
		{"credit and drain", drains},
		{"topics", topics},
		{"durable subscription", durable},
		{"refusals", refusals},
		{"5000 in flight", many},
		{"to STOMP and back, over a dynamic node", dynamic},
	}
	if len(os.Args) > 2 {
		steps = steps[:0]
		for _, pair := range strings.Split(os.Args[2], ",") {
			word, talents, _ := strings.Cut(pair, ":")
			other := &other{word, talents}
			steps = append(steps, step{"crossed with " + word, other.crossed})
		}
	}
	for _, step := range steps {
		c, err := open("go-" + step.name)
		if err == nil {
			err = step.run(c)
			c.close()
		}
		if err != nil {
			fmt.Printf("not ok %s: %s\n", step.name, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Printf("ok %s\n", step.name)
		}
	}
}
